"""Lineage and channels: which version is brought in, and what is said of one that is not."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.api.modelversion import Lineage
from topgraft.governance.lineage import KEYS, missing

from .world import MODEL, World

HASH = "sha256:" + "1" * 64
COMPLETE: dict[str, Any] = {"trainingDataHash": HASH, "featureParameters": {}, "hyperparameters": {"rate": "0.1"}}


def said(world: World, kind: str, name: str, condition: str) -> dict[str, str]:
    found = world.objects[kind, name].get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == condition), {})


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in COMPLETE.items() if key not in keys}


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        (None, KEYS),
        ({}, KEYS),
        (COMPLETE, ()),
        (without("hyperparameters"), ("hyperparameters",)),
        (without("trainingDataHash", "featureParameters"), ("trainingDataHash", "featureParameters")),
        ({"trainingDataHash": HASH, "featureParameters": {}, "hyperparameters": {}}, ()),
    ],
)
def test_missing_keys_are_named_and_an_empty_map_is_an_answer(given: dict[str, Any] | None, lacking: Any) -> None:
    assert missing(None if given is None else Lineage.model_validate(given)) == lacking


def test_a_version_without_lineage_is_denied_with_its_missing_keys() -> None:
    world = World()
    world.model(lineagePolicy="Enforce")
    world.base(lineage=without("featureParameters", "hyperparameters"))
    world.run(30)
    assert world.serving is None
    version = said(world, "ModelVersion", "digits-1", "LineageAccepted")
    assert (version["status"], version["reason"]) == ("False", "LineageMissing")
    assert "spec.lineage.featureParameters, spec.lineage.hyperparameters" in version["message"]
    assert "trainingDataHash" not in version["message"]
    assert world.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "LineageMissing")
    model = said(world, "Model", MODEL, "Ready")
    assert model["reason"] == "NoVersion"
    assert "digits-1" in model["message"]
    assert "spec.lineage.hyperparameters" in model["message"]
    world.base("digits-2", lineage=COMPLETE)
    world.run(100)
    assert world.serving == "digits-2"
    assert world.conditions("ModelVersion", "digits-2")["LineageAccepted"] == ("True", "LineageComplete")


def test_warn_says_what_is_missing_and_serves() -> None:
    world = World()
    world.model()
    world.base()
    world.run(100)
    assert world.serving == "digits-1"
    told = world.conditions("ModelVersion", "digits-1")
    assert told["LineageAccepted"] == ("False", "LineageMissing")
    assert told["Ready"] == ("True", "Serving")


def test_the_policy_never_ends_what_serves_and_its_condition_goes_with_its_cause() -> None:
    world = World()
    world.model()
    world.base()
    world.base("digits-0", channel="PreRelease")
    world.run(100)
    world.model(lineagePolicy="Enforce")
    world.run(100)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert world.conditions("ModelVersion", "digits-1")["Ready"] == ("True", "Serving")
    assert world.conditions("ModelVersion", "digits-0")["Ready"] == ("False", "LineageMissing")
    world.writes.clear()
    world.run(3000)
    assert world.writes == []
    world.upgrade("v2")
    world.run(100)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "LineageMissing")
    world.model()
    world.run(100)
    assert world.serving_tag == "v2"
    assert world.conditions("ModelVersion", "digits-0")["Ready"] == ("True", "Recorded")


def test_enforce_bars_no_way_back() -> None:
    world = World()
    world.model()
    world.base()
    world.run(100)
    world.upgrade("v2")
    world.run(200)
    assert world.serving_tag == "v2"
    second = world.serving
    world.model(lineagePolicy="Enforce")
    world.run(10)
    world.dead.add(second or "")
    world.run(60)
    assert world.serving == "digits-1", "what was good before takes over, with lineage or without"
    world.dead.clear()
    world.upgrade("v3", suspend=True)
    world.annotations("Model", MODEL)["topgraft.dev/retry-at"] = "now"
    world.model(lineagePolicy="Enforce", serving={"version": second})
    world.run(100)
    assert world.serving == second, "a pin brings back what served well"


@pytest.mark.parametrize("order", ["pin", "fromVersion"])
@pytest.mark.parametrize(("lacks", "reason"), [("lineage", "LineageMissing"), ("channel", "ChannelExperimental")])
def test_naming_a_version_does_not_let_it_in(order: str, lacks: str, reason: str) -> None:
    world = World()
    world.model(lineagePolicy="Enforce")
    world.base(lineage=COMPLETE)
    world.run(100)
    given = {"lineage": without("trainingDataHash")} if lacks == "lineage" else {"lineage": COMPLETE}
    world.base("digits-2", tag="v9", channel="PreRelease" if lacks == "lineage" else "Experimental", **given)
    if order == "pin":
        world.model(lineagePolicy="Enforce", serving={"version": "digits-2"})
    else:
        world.upgrade("v2", fromVersion="digits-2")
    world.run(100)
    assert world.serving == "digits-1"
    kind, name = ("Model", MODEL) if order == "pin" else ("AdapterUpgrade", "digits")
    ready = said(world, kind, name, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert "digits-2" in ready["message"]
    assert not [k for k in world.objects if k[0] == "Deployment" and k[1] != "digits-1"]


def test_a_refused_order_leaves_what_its_earlier_form_brought_in() -> None:
    world = World()
    world.model()
    world.base("digits-1", channel="PreRelease", revision=1)
    world.base("digits-2", tag="v2", lineage=COMPLETE, revision=2)
    world.upgrade("v3", fromVersion="digits-1")
    world.run(100)
    assert world.serving_tag == "v2", "newer weights overtake"
    world.remove("ModelVersion", "digits-2")
    world.upgrade("v4", fromVersion="digits-1")
    world.run(200)
    assert world.serving_tag == "v4"
    world.base("digits-0", tag="v0", lineage=COMPLETE)
    world.model(lineagePolicy="Enforce")
    world.upgrade("v5", fromVersion="digits-1")
    world.run(200)
    assert world.serving_tag == "v4"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "LineageMissing")


def test_a_prerelease_version_serves_when_it_is_named() -> None:
    world = World()
    world.model()
    world.base()
    world.base("digits-2", tag="v2", channel="PreRelease")
    world.run(100)
    assert world.serving == "digits-1"
    world.model(serving={"version": "digits-2"})
    world.run(100)
    assert world.serving == "digits-2"
    assert "DigestPinned" not in world.conditions("ModelVersion", "digits-2")


def test_production_says_that_its_image_is_pinned() -> None:
    world = World()
    world.model()
    world.base()
    world.run(100)
    assert world.conditions("ModelVersion", "digits-1")["DigestPinned"] == ("True", "ImagePinned")


def test_a_derived_version_keeps_lineage_channel_and_test_tag_to_the_byte() -> None:
    world = World()
    world.model(lineagePolicy="Enforce")
    world.base(lineage=COMPLETE, testTag="v2.3.1_testenv")
    world.upgrade("v2")
    world.run(200)
    assert world.serving_tag == "v2"
    made = world.objects["ModelVersion", world.serving or ""]["spec"]
    assert made["lineage"] == COMPLETE
    assert made["testTag"] == "v2.3.1_testenv"
    assert world.conditions("ModelVersion", world.serving or "")["LineageAccepted"] == ("True", "LineageComplete")


def test_the_tests_know_the_tag_that_belongs_to_the_version() -> None:
    world = World(suites={})
    world.model(verification={"testSuite": {}})
    world.base(testTag="v2.3.1_testenv")
    world.run(100)
    world.upgrade("v2")
    world.run(5)
    (pod,) = [p for (kind, name), p in world.objects.items() if kind == "Pod" and name.endswith("-test")]
    assert pod["metadata"]["labels"]["topgraft.dev/test-tag"] == "v2.3.1_testenv"
    assert {"name": "TOPGRAFT_TEST_TAG", "value": "v2.3.1_testenv"} in pod["spec"]["containers"][0]["env"]
    assert pod["metadata"]["labels"]["validation"] == "Vv2_validation"
