"""What becomes of a prediction head under a new adapter: asked before traffic moves, told on the version."""

from __future__ import annotations

from typing import Any

import pytest

from .world import World

STATIC = "RobertaForSequenceClassification"
CONVERTED = {
    "from": STATIC,
    "to": "RobertaAdapterModel",
    "headName": "default",
    "headType": "classification",
    "maxAbsDiff": "2.98e-08",
    "result": "Converted",
}
TEXT = "Cannot automatically convert prediction head of model class RobertaAdapterModel to flex head."
UNSUPPORTED = {"from": "RobertaAdapterModel", "to": "RobertaModelWithHeads", "result": "Unsupported", "message": TEXT}
INCOMPLETE = {**CONVERTED, "maxAbsDiff": "0.139", "result": "Incomplete", "message": "golden logits differ by 0.139"}


def world(asked: dict[str, Any] | None, **heads: dict[str, Any]) -> World:
    made = World(heads=heads)
    made.model()
    made.base(**({} if asked is None else {"headConversion": asked}))
    made.run(300)
    return made


def head_of(made: World, name: str) -> dict[str, Any] | None:
    told: dict[str, Any] | None = made.objects["ModelVersion", name]["status"].get("headConversion")
    return told


def derived(made: World) -> str:
    return next(name for kind, name in made.objects if kind == "ModelVersion" and name != "digits-1")


@pytest.mark.parametrize("result", ["NotNeeded", "Converted", "Repaired"])
@pytest.mark.parametrize("mode", ["Auto", "Require"])
def test_a_head_that_is_kept_goes_on_and_is_told(mode: str, result: str) -> None:
    made = world({"mode": mode}, v1={**CONVERTED, "result": result})
    assert made.serving == "digits-1"
    assert head_of(made, "digits-1") == {**CONVERTED, "result": result}


def test_an_upgrade_back_to_an_old_runtime_is_refused_with_the_librarys_text() -> None:
    made = world({"mode": "Require", "headName": "sentiment"}, v1=CONVERTED, v2=UNSUPPORTED)
    made.upgrade("v2")
    made.run(900)
    assert made.serving == "digits-1"
    said = made.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", "HeadConversionUnsupported")
    assert said["ContractCompatible"] == ("False", "HeadConversionUnsupported")
    assert said["RolledBack"] == ("True", "HeadConversionUnsupported")
    body = made.objects["ModelVersion", derived(made)]
    assert TEXT in body["status"]["failure"]["message"]
    assert head_of(made, derived(made)) == UNSUPPORTED
    assert body["spec"]["headConversion"] == {"mode": "Require", "headName": "sentiment"}
    assert ("Deployment", derived(made)) not in made.objects
    made.writes.clear()
    made.run(3600)
    assert made.writes == []


def test_the_upgrade_mends_what_the_old_runtime_could_not_serve() -> None:
    made = world({"mode": "Require"}, v1=UNSUPPORTED, v2=CONVERTED)
    assert made.serving is None
    assert made.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "HeadConversionUnsupported")
    made.upgrade("v2")
    made.run(900)
    assert made.serving_tag == "v2"
    assert head_of(made, derived(made)) == CONVERTED


@pytest.mark.parametrize("mode", ["Auto", "Require"])
def test_a_head_that_is_not_the_artifacts_never_serves(mode: str) -> None:
    made = world({"mode": mode}, v1=CONVERTED, v2=INCOMPLETE)
    made.upgrade("v2")
    made.run(900)
    assert made.serving_tag == "v1"
    assert made.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "HeadConversionIncomplete")


def test_auto_leaves_an_unsupported_head_to_its_own_class() -> None:
    made = world({}, v1=UNSUPPORTED)
    assert made.serving == "digits-1"
    assert head_of(made, "digits-1") == UNSUPPORTED


@pytest.mark.parametrize("mode", ["Auto", "Require"])
def test_an_image_that_says_nothing_of_heads_is_refused(mode: str) -> None:
    made = world({"mode": mode})
    assert made.serving is None
    assert made.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "HeadConversionUnsupported")


def test_off_asks_for_nothing() -> None:
    assert world({"mode": "Off"}).serving == "digits-1"


def test_a_version_that_does_not_ask_is_not_asked_about() -> None:
    made = world(None, v1=INCOMPLETE)
    assert made.serving == "digits-1"
    assert head_of(made, "digits-1") is None
    pods = [body for (kind, _), body in made.objects.items() if kind == "Deployment"]
    assert "TOPGRAFT_HEAD" not in str(pods)


def test_the_pods_are_told_mode_and_name() -> None:
    made = world({"mode": "Require", "headName": "sentiment"}, v1=CONVERTED)
    container = made.objects["Deployment", "digits-1"]["spec"]["template"]["spec"]["containers"][0]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert (env["TOPGRAFT_HEAD_CONVERSION"], env["TOPGRAFT_HEAD_NAME"]) == ("Require", "sentiment")


@pytest.mark.parametrize(
    "told",
    [{**CONVERTED, "result": "Perhaps"}, {**CONVERTED, "maxAbsDiff": "nan"}, {"result": "Converted"}, [], "Converted"],
    ids=["result", "difference", "classes", "list", "text"],
)
def test_a_wrong_answer_is_no_answer(told: Any) -> None:
    made = world({}, v1=told)
    assert made.serving is None
    assert made.conditions("ModelVersion", "digits-1")["Ready"] == ("False", "ContractMissing")


def test_texts_of_the_image_are_cleaned() -> None:
    made = world({}, v1={**UNSUPPORTED, "message": "one\ntwo\x00" + "x" * 5000})
    told = head_of(made, "digits-1")
    assert told is not None
    assert told["message"].startswith("one two?xx")
    assert len(told["message"]) == 700
