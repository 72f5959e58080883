"""Going back to a commit, and what differs between two versions."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.difference import differences
from topgraft.governance.recovery import recovery_of, rollback_model

from .world import MODEL, World

DIGEST = "sha256:" + "c" * 64


def version(name: str, commit: str = "", *, status: dict[str, Any] | None = None, **spec: Any) -> ModelVersion:
    volume = {"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}
    adapter = {"commit": commit, "imageDigest": f"sha256:{commit[:1] * 64}"} if commit else None
    told = {"artifact": {"digest": DIGEST}, **({"adapter": adapter} if adapter else {}), **(status or {})}
    return ModelVersion.model_validate(
        {
            "kind": "ModelVersion",
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "modelRef": {"name": MODEL},
                "artifact": {"volumes": [volume]},
                "adapter": {"image": "registry.local/digits:v1"},
                **spec,
            },
            "status": told,
        }
    )


def test_the_way_back_is_dataset_then_deploy_then_tests() -> None:
    commit = "9f2c1d3e" + "0" * 32
    versions = {"digits-1": version("digits-1", commit), "digits-2": version("digits-2", "b" * 40)}
    way = rollback_model(commit, versions)
    assert [step for step, _ in way.steps] == ["dataset", "deploy", "tests"]
    assert way.dataset == "9f2c1d3e"
    assert way.tests == f"V{commit}_validation"
    assert len(way.tests) == 52
    assert way.patch() == {"spec": {"serving": {"version": "digits-1"}}}
    assert rollback_model(commit[:7], versions) == way


@pytest.mark.parametrize("commit", ["", "abc", "9F2C1D3E", "g" * 8, "a" * 65])
def test_what_is_no_commit_is_refused(commit: str) -> None:
    with pytest.raises(ValueError, match="is no commit"):
        rollback_model(commit, {})


def test_an_unknown_or_shared_commit_is_refused_with_what_is_known() -> None:
    versions = {"a": version("a", "a" * 40), "b": version("b", "a" * 40), "c": version("c")}
    with pytest.raises(ValueError, match=r"no version is of commit bbbbbbb; known: aaaaaaaa \(a\), aaaaaaaa \(b\)"):
        rollback_model("b" * 7, versions)
    with pytest.raises(ValueError, match="versions a, b are of commit aaaaaaa: name one by --version"):
        rollback_model("a" * 7, versions)


def test_a_recorded_commit_counts_for_what_a_user_made_and_not_for_what_was_derived() -> None:
    source = {"type": "CodeRepository", "commit": "d" * 40}
    versions = {"base": version("base", source=source), "new": version("new", source=source, parentVersion="base")}
    assert rollback_model("d" * 8, versions).version == "base"


def test_without_a_commit_the_tag_stands_in() -> None:
    way = recovery_of(version("digits-1"))
    assert (way.dataset, way.tests) == ("v1", "Vv1_validation")


def test_equal_versions_do_not_differ() -> None:
    assert differences(version("a", "a" * 40), version("b", "a" * 40)) == ()


def test_all_that_differs_is_told_the_artifact_first() -> None:
    api = {"inputs": [{"name": "x", "type": "parameter", "dataType": "double"}], "outputs": []}
    other = {"inputs": [{"name": "x", "type": "parameter", "dataType": "string"}], "outputs": []}
    old = version(
        "a",
        "a" * 40,
        status={"requirements": ["numpy==2.3", "torch==2.1"], "api": api},
        metadata={"owner": "x"},
        lineage={"hyperparameters": {"rate": "0.1"}},
    )
    new = version(
        "b",
        "b" * 40,
        status={
            "requirements": ["numpy==2.4", "pillow==11"],
            "api": other,
            "artifact": {"digest": "sha256:" + "d" * 64},
        },
        adapter={"image": "registry.local/digits:v2"},
        metadata={"owner": "y"},
        lineage={"trainingDataHash": "sha256:" + "1" * 64, "hyperparameters": {"rate": "0.2"}},
        testTag="v2_testenv",
    )
    found = differences(old, new)
    assert [(one.part, one.name) for one in found] == [
        ("artifact", "digest"),
        ("commit", ""),
        ("image", ""),
        ("image", "digest"),
        ("requirements", "numpy"),
        ("requirements", "pillow"),
        ("requirements", "torch"),
        ("api", "input 'x' (breaking)"),
        ("metadata", "owner"),
        ("metadata", "testTag"),
        ("lineage", "trainingDataHash"),
        ("lineage", "hyperparameters.rate"),
    ]
    assert str(found[1]) == f"commit: {'a' * 40} → {'b' * 40}"
    assert str(found[5]) == "requirements pillow: (none) → 11"
    assert {one.part for one in differences(new, old)} == {one.part for one in found}


@pytest.mark.parametrize("code", [0, 1])
def test_after_a_pin_to_a_cold_version_its_tests_run_and_traffic_stays(code: int) -> None:
    world = World(suites={})
    world.model(verification={"testSuite": {}}, rollback={"standbySeconds": 0})
    world.base()
    world.run(100)
    world.upgrade("v2")
    world.run(1000)
    assert world.serving_tag == "v2"
    assert ("Deployment", "digits-1") not in world.objects
    world.suites["v1"] = code
    world.writes.clear()
    pinned = {"version": "digits-1"}
    world.model(verification={"testSuite": {}}, rollback={"standbySeconds": 0}, serving=pinned)
    world.run(300)
    assert world.serving == "digits-1"
    told = world.conditions("Model", MODEL)["Validated"]
    assert told == (("True", "TestsPassed") if code == 0 else ("False", "TestsFailed"))
    order = [kind for verb, kind, name in world.writes if verb in ("apply", "switch") and name != "digits-1-preflight"]
    assert order.index("Deployment") < order.index("Service") < order.index("Pod")
    world.writes.clear()
    world.run(2000)
    assert world.writes == []
