"""What never changes: changing it, taking it away and giving it later are refused, and the message says what to do."""

from __future__ import annotations

import pytest
from api_objects import REMOVED, changed, minimal
from apiserver import CRDS, Objects, schema_of

DIGEST = "sha256:" + "0123456789abcdef" * 4
ADVICE = {
    "Model": "is immutable on a Model: create a new Model instead",
    "ModelVersion": "is immutable on a ModelVersion (21202 MODEL_INVALID_ARGUMENT): create a new ModelVersion instead",
    "AdapterUpgrade": "is immutable on an AdapterUpgrade: create a new AdapterUpgrade instead",
}

CHANGES: list[tuple[str, str, str, object]] = [
    ("Model", "modelTypeId", "", "other"),
    ("ModelVersion", "modelRef", ".name", "other"),
    ("ModelVersion", "channel", "", "Experimental"),
    ("ModelVersion", "artifact", ".digest", DIGEST),
    ("ModelVersion", "artifact", ".compatibility", ["numpy>=2"]),
    ("ModelVersion", "artifact", ".volumes.0.mountPath", "/other"),
    ("ModelVersion", "artifact", ".volumes.0.configMap.name", "other"),
    ("ModelVersion", "artifact", ".volumes.1", {"name": "b", "mountPath": "/b", "configMap": {"name": "b"}}),
    ("ModelVersion", "adapter", ".image", "registry.example/digits:v9"),
    ("ModelVersion", "adapter", ".args", ["--fast"]),
    ("ModelVersion", "adapter", ".env", [{"name": "A", "value": "1"}]),
    ("ModelVersion", "adapter", ".resources", {"limits": {"cpu": 1}}),
    ("ModelVersion", "adapter", ".contract", "None"),
    ("ModelVersion", "adapter", ".className", "Other"),
    ("AdapterUpgrade", "modelRef", ".name", "other"),
]
OPTIONAL: list[tuple[str, object, str, object]] = [
    ("parentVersion", "digits-0", "", "digits-1"),
    ("revision", 1, "", 2),
    ("revision", 0, "", 1),
    ("source", {"type": "CodeRepository", "commit": "3f2a9c1d"}, ".commit", "3f2a9c1e"),
    ("source", {"type": "Sdk"}, ".type", "CodeRepository"),
    ("lineage", {"trainingDataHash": DIGEST}, ".hyperparameters", {"rate": "1"}),
    ("inputInfo", {"params": {"scale": "16"}}, ".params.scale", "8"),
    ("inputInfo", {"fieldsMap": {"a": "b"}}, ".fieldsMap", {"a": "c"}),
    ("trainInfo", {"params": {"epochs": "3"}}, ".params", {"epochs": "4"}),
    ("trainInfo", {"dataset": {"name": "digits", "version": "1"}}, ".dataset.version", "2"),
    ("trainInfo", {"job": {"image": "train:v1", "suspend": True}}, ".job.suspend", False),
    ("trainInfo", {"job": {"image": "train:v1"}}, ".job.env", [{"name": "A", "value": "1"}]),
    ("importInfo", {"params": {"toolkit": "joblib"}}, ".params", {}),
    ("headConversion", {"mode": "Require"}, ".mode", "Auto"),
    ("headConversion", {"headName": "sentiment"}, ".headName", "topic"),
    ("testTag", "v1_testenv", "", "v2_testenv"),
]
PATCHABLE: list[tuple[str, object, object]] = [
    ("visibility", "Private", "Public"),
    ("metadata", {"a": "1"}, {"b": "2"}),
    ("license", "MIT", "Apache-2.0"),
    ("description", "one", "two"),
    ("notes", "one", "two"),
    ("outputInfo", {"params": {"threshold": "0.5"}}, {"params": {"threshold": "0.6"}}),
    (
        "outputInfo",
        {"outputConfig": {"maxConcepts": 1}},
        {"outputConfig": {"minValue": "0.1"}, "fieldsMap": {"a": "b"}},
    ),
    ("objectives", [{"name": "quality"}], [{"name": "quality", "archived": True}]),
]
CONCEPTS = {"data": {"concepts": [{"id": "zero", "name": "Zero"}, {"id": "one"}]}}


def test_no_field_is_forgotten() -> None:
    """Each field of a ModelVersion's spec is tried here, either as immutable or as patchable."""
    tried = {field for kind, field, _, _ in CHANGES if kind == "ModelVersion"} | {field for field, *_ in OPTIONAL}
    spec = schema_of(CRDS / "topgraft.dev_modelversions.yaml")["properties"]["spec"]
    assert tried | {field for field, *_ in PATCHABLE} == set(spec["properties"])


@pytest.mark.parametrize(("kind", "field", "below", "value"), CHANGES)
def test_a_change_is_refused(objects: Objects, kind: str, field: str, below: str, value: object) -> None:
    body = minimal(kind)
    objects.create(body)
    if below == ".volumes.1":
        update = changed(body, "spec.artifact.volumes", [*body["spec"]["artifact"]["volumes"], value])
    else:
        update = changed(body, f"spec.{field}{below}", value)
    said = objects.refusal_of_update(update)
    assert f"spec.{field}: Invalid value" in said
    assert f"spec.{field} {ADVICE[kind]}" in said


@pytest.mark.parametrize(("field", "value", "below", "other"), OPTIONAL)
def test_an_optional_field_cannot_be_changed_unset_or_set_later(
    objects: Objects, field: str, value: object, below: str, other: object
) -> None:
    without = minimal("ModelVersion", "without")
    given = changed(minimal("ModelVersion", "given"), f"spec.{field}", value)
    objects.create(without)
    objects.create(given)
    for update in (
        changed(given, f"spec.{field}{below}", other),
        changed(given, f"spec.{field}", REMOVED),
        changed(without, f"spec.{field}", value),
    ):
        assert f"spec.{field} {ADVICE['ModelVersion']}" in objects.refusal_of_update(update)


@pytest.mark.parametrize(("field", "value", "other"), PATCHABLE)
def test_the_rest_can_be_changed_unset_and_set_later(
    objects: Objects, field: str, value: object, other: object
) -> None:
    without = minimal("ModelVersion", "without")
    given = changed(minimal("ModelVersion", "given"), f"spec.{field}", value)
    objects.create(without)
    objects.create(given)
    for update in (
        changed(given, f"spec.{field}", other),
        changed(given, f"spec.{field}", REMOVED),
        changed(without, f"spec.{field}", value),
    ):
        assert objects.refusal_of_update(update) == ""


@pytest.mark.parametrize(
    "concepts",
    [
        [{"id": "zero", "name": "Zero"}],
        [{"id": "zero", "name": "Null"}, {"id": "one"}],
        [{"id": "zero", "name": "Zero"}, {"id": "one"}, {"id": "two"}],
        [],
        REMOVED,
    ],
    ids=str,
)
def test_concepts_stay_whatever_else_changes_in_output_info(objects: Objects, concepts: object) -> None:
    given = changed(minimal("ModelVersion"), "spec.outputInfo", {**CONCEPTS, "params": {"a": "1"}})
    objects.create(given)
    update = changed(changed(given, "spec.outputInfo.params.a", "2"), "spec.outputInfo.data.concepts", concepts)
    said = objects.refusal_of_update(update)
    assert f"spec.outputInfo.data.concepts {ADVICE['ModelVersion']}" in said
    assert objects.refusal_of_update(changed(given, "spec.outputInfo.params.a", "2")) == ""


def test_concepts_cannot_come_or_go_with_the_whole_output_info(objects: Objects) -> None:
    without, given = minimal("ModelVersion", "without"), minimal("ModelVersion", "given")
    given["spec"]["outputInfo"] = CONCEPTS
    objects.create(without)
    objects.create(given)
    text = f"spec.outputInfo.data.concepts {ADVICE['ModelVersion']}"
    assert text in objects.refusal_of_update(changed(given, "spec.outputInfo", REMOVED))
    assert text in objects.refusal_of_update(changed(without, "spec.outputInfo", CONCEPTS))
    assert objects.refusal_of_update(changed(without, "spec.outputInfo", {"data": {"concepts": []}})) == ""


def test_the_order_of_variables_is_no_change(objects: Objects) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    body = changed(minimal("ModelVersion"), "spec.adapter.env", env)
    objects.create(body)
    assert objects.refusal_of_update(changed(body, "spec.adapter.env", env[::-1])) == ""


def test_an_upgrade_can_be_edited_in_everything_but_its_model(objects: Objects) -> None:
    body = minimal("AdapterUpgrade")
    objects.create(body)
    for path, value in {
        "spec.adapter.image": "registry.example/digits:v3",
        "spec.adapter.args": ["--fast"],
        "spec.reason": "MethodChange",
        "spec.fromVersion": "digits-7",
        "spec.allowRepositoryChange": True,
        "spec.allowApiBreak": True,
        "spec.allowSourceType": True,
        "spec.suspend": True,
        "spec.rollback": {"bakeSeconds": 1},
    }.items():
        assert objects.refusal_of_update(changed(body, path, value)) == "", path


def test_a_release_keeps_its_version(objects: Objects) -> None:
    release = {"number": 1, "version": "digits-1"}
    body = changed(minimal("Model"), "spec.objectives", [{"name": "quality", "releases": [release]}])
    objects.create(body)
    place = "spec.objectives.0.releases.0"
    said = objects.refusal_of_update(changed(body, f"{place}.version", "digits-2"))
    assert "spec.objectives[0].releases[0].version: Invalid value" in said
    assert "version must stay what it was when the number was given: make a release with a new number" in said
    promoted = changed(body, f"{place}.environment", "Production")
    assert objects.refusal_of_update(promoted) == ""
    assert objects.refusal_of_update(changed(promoted, f"{place}.environment", "Staging")) == "", "a git revert"
    assert objects.refusal_of_update(changed(body, "spec.objectives", [])) == ""
