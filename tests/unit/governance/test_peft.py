"""The rules of the adapter specification: their order, their words, and what is looked up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.api.meta import ObjectMeta
from topgraft.api.model import Model, ModelSpec
from topgraft.api.modelversion import ModelVersion
from topgraft.api.peft import PeftAdapter
from topgraft.governance.peft import (
    Found,
    Neighbours,
    asked,
    dataset_split,
    judge,
    metadata,
    read_answer,
    validate,
)

GOOD: dict[str, Any] = {
    "type": "project",
    "name": "sql",
    "baseModelRef": {"name": "llama"},
    "location": "adapters/sql",
    "fineTuningJobRef": {"id": "job-1"},
    "promptRef": {"id": "prompt-1"},
}
META = {"namespace": "team", "uid": "u", "creationTimestamp": datetime(2026, 11, 22, tzinfo=UTC)}
FOUND = Found(directory=True, peft_type="LORA")


def model(name: str = "llama", jobs: tuple[dict[str, str], ...] = ({"id": "job-1"},)) -> Model:
    spec = ModelSpec.model_validate({"modelTypeId": "t", "fineTuningJobs": jobs, "prompts": [{"id": "prompt-1"}]})
    return Model(kind="Model", metadata=ObjectMeta.model_validate({**META, "name": name}), spec=spec)


def adapter(**fields: Any) -> PeftAdapter:
    return PeftAdapter.model_validate({k: v for k, v in {**GOOD, **fields}.items() if v is not None})


def version(*adapters: dict[str, Any]) -> ModelVersion:
    artifact = {"volumes": [{"name": "w", "mountPath": "/w", "configMap": {"name": "w"}}], "adapters": adapters}
    spec = {"modelRef": {"name": "bot"}, "artifact": artifact, "adapter": {"image": "r/a:1"}}
    return ModelVersion.model_validate({"metadata": {**META, "name": "bot-1"}, "spec": spec})


LATER: dict[str, Any] = {
    "location": "nowhere",
    "baseModelRef": {"name": "gone"},
    "fineTuningJobRef": {"id": "job-9"},
    "promptRef": {"id": "prompt-9"},
}
"""Breaks every rule from the third on."""
ORDER = [
    ({**LATER, "name": None, "baseModelRef": {"name": " "}}, "Field 'name' is required in AddAdapterRequest."),
    ({**LATER, "name": "", "location": ""}, "Field 'name' is required in AddAdapterRequest."),
    ({**LATER, "name": " ", "baseModelRef": None}, "Field 'model_id' is required in AddAdapterRequest."),
    ({**LATER, "name": " ", "baseModelRef": {}}, "Field 'model_id' is required in AddAdapterRequest."),
    ({**LATER, "name": " ", "location": None}, "Field 'location' is required in AddAdapterRequest."),
    ({**LATER, "name": "  "}, "Field 'name' cannot be an empty string or only spaces."),
    ({**LATER, "baseModelRef": {"name": " "}}, "Field 'model_id' cannot be an empty string or only spaces."),
    ({**LATER, "location": "\t "}, "Field 'location' cannot be an empty string or only spaces."),
    (LATER, "Location 'nowhere' must be a valid directory."),
    ({**LATER, "location": "here"}, "Model with ID 'gone' does not exist."),
    (
        {**LATER, "location": "here", "baseModelRef": {"name": " llama "}, "name": " taken "},
        "An adapter with the name ' taken ' already exists.",
    ),
    (
        {**LATER, "location": "here", "baseModelRef": {"name": "llama"}},
        "Fine Tuning Job with ID 'job-9' does not exist.",
    ),
    ({"location": "here", "promptRef": {"id": "prompt-9"}}, "Prompt with ID 'prompt-9' does not exist."),
    ({"location": "here"}, None),
    ({"location": "here", "name": " sql ", "fineTuningJobRef": {"id": " job-1 "}}, None),
    ({"location": "here", "fineTuningJobRef": {"id": ""}, "promptRef": {"id": ""}}, None),
    ({"location": "here", "fineTuningJobRef": None, "promptRef": None}, None),
]


@pytest.mark.parametrize(("fields", "text"), ORDER)
def test_the_first_rule_that_is_broken_is_told_in_its_words(fields: dict[str, Any], text: str | None) -> None:
    asked_for = adapter(**fields)
    base = model() if asked_for.base_model_ref and (asked_for.base_model_ref.name or "").strip() == "llama" else None
    taken = (asked_for.name or "").strip() == "taken"
    found = validate(asked_for, directory=asked_for.location == "here", base=base, taken=taken)
    assert (found[1] if found else None) == text


NEEDED = {"project": "location", "huggingface": "huggingface_name", "model_registry": "cml_registered_model_id"}
WIRE = {"huggingface_name": "huggingfaceName", "cml_registered_model_id": "cmlRegisteredModelId"}


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize(("value", "text"), [(None, "required"), ("", "required"), (" ", "only spaces"), ("x", "")])
def test_each_type_needs_its_own_field_and_no_other(kind: str, value: str | None, text: str) -> None:
    field = NEEDED[kind]
    asked_for = adapter(**{"type": kind, "location": None, WIRE.get(field, field): value})
    found = validate(asked_for, directory=True, base=model(), taken=False)
    assert (found is None) == (value == "x")
    if found:
        assert f"Field '{field}'" in found[1]
        assert text in found[1]


@pytest.mark.parametrize("kind", ["huggingface", "model_registry"])
def test_a_location_that_need_not_be_given_is_still_looked_at(kind: str) -> None:
    fields = {"type": kind, "huggingfaceName": "a/b", "cmlRegisteredModelId": "m"}
    away = validate(adapter(**fields, location="away"), directory=False, base=model(), taken=False)
    assert away == ("LocationNotDirectory", "Location 'away' must be a valid directory.")
    assert validate(adapter(**fields, location=None), directory=None, base=model(), taken=False) is None


def test_adapters_are_judged_in_their_order_and_the_files_last() -> None:
    bad = Found(directory=True, error={"reason": "AdapterMatchesNothing", "message": "none of 3 modules"})
    two = version(GOOD, {**GOOD, "name": "two", "baseModelRef": {"name": "gone"}})
    near = Neighbours({"llama": model()}, {"sql": "bot", "two": "other"})
    found = judge(two, near, (bad, FOUND))
    assert found is not None
    assert (found.reason, found.own, found.index) == ("AdapterMatchesNothing", True, 0)
    assert found.message == "spec.artifact.adapters[0]: none of 3 modules"
    found = judge(two, near, (FOUND, FOUND))
    assert found is not None
    assert (found.reason, found.own, found.index) == ("BaseModelNotFound", False, 1)
    found = judge(two, Neighbours({"llama": model(), "gone": model()}, near.holders), (FOUND, bad))
    assert found is not None
    assert (found.reason, found.own) == ("AdapterNameTaken", False), "the specification comes before the files"
    assert judge(version(GOOD), near, (FOUND,)) is None
    assert judge(version(), Neighbours(), ()) is None


SPLITS = [
    ((), ("1.0", "0.9", "Default")),
    (({"id": "sql", "adapterName": "other", "datasetFraction": "0.5"},), ("1.0", "0.9", "Default")),
    (({"id": "j", "adapterName": "sql", "datasetFraction": "0.5", "trainTestSplit": "0.8"},), ("0.5", "0.8", "Job")),
    (({"id": "j", "adapterName": "sql"},), ("1.0", "0.9", "Job")),
    (
        ({"id": "a", "adapterName": "sql", "datasetFraction": "0.1"}, {"id": "b", "adapterName": "sql"}),
        ("0.1", "0.9", "Job"),
    ),
]


@pytest.mark.parametrize(("jobs", "split"), SPLITS)
def test_the_split_of_the_dataset_is_found_by_the_adapters_name(
    jobs: tuple[dict[str, str], ...], split: tuple[str, str, str]
) -> None:
    found = dataset_split(adapter(fineTuningJobRef={"id": "elsewhere"}), model(jobs=jobs))
    assert (found.dataset_fraction, found.train_test_split, found.source) == split
    assert dataset_split(adapter(), None).source == "Default"


def test_the_metadata_has_the_twelve_fields_all_mapped() -> None:
    full = adapter(
        description="writes SQL",
        huggingfaceName="org/sql",
        cmlRegisteredModelId="m-1",
        mlflow={"experimentId": "e", "runId": "r"},
    )
    found = metadata("team", "bot", full)
    assert list(found) == [
        *("id", "type", "name", "description", "huggingface_name", "model_id", "location", "fine_tuning_job_id"),
        *("prompt_id", "cml_registered_model_id", "mlflow_experiment_id", "mlflow_run_id"),
    ]
    assert all(found.values())
    assert found["id"] == metadata("team", "bot", adapter(location="elsewhere"))["id"], "the name decides"
    assert found["id"] != metadata("team", "other", full)["id"]


LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_an_answer_of_any_shape_is_read_or_refused(answer: object) -> None:
    found = read_answer({"adapters": answer}, 1)
    assert found is None or len(found) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"error": {"reason": "ClassMismatch", "message": "not its word"}},
        {"rank": -1},
        {"base_model": "x" * 300},
        {"directory": "perhaps"},
    ],
)
def test_words_that_are_not_the_programs_are_not_taken(row: dict[str, Any]) -> None:
    assert read_answer({"adapters": [row]}, 1) is None
    assert read_answer({"adapters": [{"directory": True}]}, 2) is None


def test_what_is_asked_is_short_and_has_no_empty_field() -> None:
    assert asked(version(GOOD)) == '[{"type":"project","name":"sql","location":"adapters/sql"}]'
