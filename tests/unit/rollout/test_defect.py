"""Defect reports: P0 goes back, by every way there is; the rest is recorded; each acts once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.health import contract_violations
from topgraft.rollout.defect import Report, parse, report_defect
from topgraft.rollout.views import DECISION, DEFECT, RETRY_AT

from .world import MODEL, Crash, World


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P0:BUG-1234", Report("P0", "BUG-1234")),
        ("P1:JIRA/OPS-7", Report("P1", "JIRA/OPS-7")),
        ("P9:#42@digits-1a2b3c4d", None),
        ("P0:42@digits-1a2b3c4d", Report("P0", "42", "digits-1a2b3c4d")),
        ("P0:a@1", Report("P0", "a", "1")),
        *(
            (text, None)
            for text in ("", "P0", "P0:", "BUG-1", "p0:BUG", "P10:BUG", "P0:BUG@", "P0:BUG@Digits", " P0:B")
        ),
        *((text, None) for text in ("P0:B\n", "P0:B A", "P0:" + "a" * 129, "P0:a@" + "b" * 64, "P0:ä", "P0:a@b@c")),
    ],
)
def test_the_form_of_a_report(text: str, expected: Report | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is not of the form <severity>:<id>"):
            parse(text)
    else:
        assert parse(text) == expected
        assert str(expected) == text


def test_the_patch_that_reports_a_defect() -> None:
    assert report_defect("BUG-1") == {"metadata": {"annotations": {DEFECT: "P0:BUG-1"}}}
    assert report_defect("BUG-1", "P2", "v") == {"metadata": {"annotations": {DEFECT: "P2:BUG-1@v"}}}
    for wrong in (("", "P0", None), ("BUG 1", "P0", None), ("B", "P", None), ("B", "P0", "V"), ("B@v", "P0", None)):
        with pytest.raises(ValueError, match="is not of the form"):
            report_defect(*wrong)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        report = str(parse(text))
    except ValueError as wrong:
        report = text if len(str(wrong)) < 300 else "too long to tell"
    assert report == text


def upgraded(seconds: float = 120, **model: Any) -> World:
    """v2 serves over v1, `seconds` after the upgrade."""
    world = World(images={"v4": "crash"})
    world.model(**model)
    world.base()
    world.run(120)
    world.upgrade("v2")
    world.run(seconds)
    assert world.serving_tag == "v2"
    world.writes.clear()
    world.events.clear()
    return world


def report(world: World, text: str) -> None:
    world.annotations("Model", MODEL)[DEFECT] = text


def status(world: World) -> dict[str, Any]:
    return dict(world.objects["Model", MODEL]["status"])


def recorded(world: World) -> list[str]:
    return [f"{d['severity']}:{d['id']}@{d['version']}" for d in status(world).get("defects", [])]


DURING_THE_BAKE, WARM, COLD = 10, 120, 1000


@pytest.mark.parametrize("seconds", [DURING_THE_BAKE, WARM, COLD])
@pytest.mark.parametrize("automatic", [True, False])
def test_p0_rolls_back_and_is_not_tried_again(seconds: int, automatic: bool) -> None:
    world = upgraded(seconds, rollback={"automatic": automatic})
    bad = world.serving or ""
    report(world, "P0:BUG-1234")
    world.run(10)
    assert world.serving == "digits-1"
    last = status(world)["lastRollback"]
    assert (last["reason"], last["from"], last["to"]) == ("DefectReported", bad, "digits-1")
    assert "BUG-1234" in last["message"]
    assert recorded(world) == [f"P0:BUG-1234@{bad}"]
    failure = world.objects["ModelVersion", bad]["status"]["failure"]
    assert (failure["reason"], "BUG-1234" in failure["message"]) == ("DefectReported", True)
    said = world.conditions("AdapterUpgrade", MODEL)
    assert said["Ready"] == ("False", "DefectReported")
    assert said["RolledBack"][0] == "True"
    world.run(7200)
    assert world.serving == "digits-1"
    assert ("Deployment", bad) not in world.objects
    settled = len(world.writes)
    world.run(7200)
    assert len(world.writes) == settled, "a report that stays on the Model is no reason to write"
    for (kind, _), body in world.objects.items():
        if kind in ("Model", "ModelVersion", "AdapterUpgrade"):
            assert contract_violations(body) == []


@pytest.mark.parametrize("seconds", [DURING_THE_BAKE, WARM])
def test_warm_it_takes_one_write(seconds: int) -> None:
    world = upgraded(seconds, rollback={"standbyReplicas": 2})
    report(world, "P0:BUG-1")
    world.turn()
    assert world.serving == "digits-1"
    assert world.writes == [("switch", "Service", MODEL)]


def test_a_small_standby_grows_before_it_takes_the_load_of_a_healthy_version() -> None:
    world = upgraded(WARM, serving={"replicas": 4})
    report(world, "P0:BUG-1")
    world.turn()
    world.turn()
    assert world.serving_tag == "v2"
    assert world.objects["Deployment", "digits-1"]["spec"]["replicas"] == 4
    world.run(5)
    assert world.serving == "digits-1"


@pytest.mark.parametrize("seconds", [DURING_THE_BAKE, WARM, COLD])
def test_a_kill_at_any_write_changes_nothing_of_the_end(seconds: int) -> None:
    for kill in range(14):
        world = upgraded(seconds)
        bad = world.serving or ""
        report(world, "P0:BUG-1")
        world.crash_at = kill
        try:
            world.run(5)
        except Crash:
            world.crash_at = None
        world.run(1000)
        assert (world.serving, recorded(world)) == ("digits-1", [f"P0:BUG-1@{bad}"]), kill
        assert world.objects["ModelVersion", bad]["status"]["failure"]["reason"] == "DefectReported", kill


@pytest.mark.parametrize("text", ["P1:BUG-1", "P0:BUG-1@digits-1", "P0:BUG-1@nothing"])
def test_others_are_recorded_only(text: str) -> None:
    world = upgraded()
    report(world, text)
    world.run(600)
    assert world.serving_tag == "v2"
    assert recorded(world) == [text if "@" in text else f"{text}@{world.serving}"]
    assert [e.reason for e in world.events] == ["DefectRecorded"]
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_each_report_acts_once() -> None:
    world = upgraded()
    bad = world.serving
    report(world, "P0:BUG-1")
    world.run(120)
    world.annotations("AdapterUpgrade", MODEL)[RETRY_AT] = "1"
    world.run(120)
    assert world.serving == bad, "tried again by order: the same report does not stop it"
    report(world, f"P0:BUG-1@{bad}")
    world.run(120)
    assert world.serving == bad
    report(world, "P0:BUG-2")
    world.run(120)
    assert world.serving == "digits-1"
    assert recorded(world) == [f"P0:BUG-2@{bad}", f"P0:BUG-1@{bad}"]


def test_a_defect_that_turns_out_to_be_worse_goes_back() -> None:
    world = upgraded()
    report(world, "P2:BUG-1")
    world.run(60)
    report(world, "P0:BUG-1")
    world.run(10)
    assert world.serving == "digits-1"


def test_what_is_on_its_way_is_stopped_by_its_name() -> None:
    world = upgraded()
    world.images["v3"] = "loading"
    world.upgrade("v3")
    world.run(10)
    name = status(world)["candidateVersion"]
    report(world, f"P0:BUG-1@{name}")
    world.run(10)
    assert world.serving_tag == "v2"
    assert ("Deployment", name) not in world.objects
    assert world.objects["ModelVersion", name]["status"]["failure"]["reason"] == "DefectReported"
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("False", "DefectReported")


def test_what_serves_is_left_while_something_else_is_on_its_way() -> None:
    world = upgraded()
    world.images["v3"] = "loading"
    world.upgrade("v3")
    world.run(10)
    report(world, "P0:BUG-1")
    world.run(10)
    assert world.serving == "digits-1"
    world.images["v3"] = "ok"
    world.run(120)
    assert world.serving_tag == "v3"


def test_without_a_way_back_it_serves_on_and_says_so() -> None:
    world = World()
    world.model()
    world.base()
    world.run(120)
    report(world, "P0:BUG-1")
    world.run(3600)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "DefectReported")
    assert world.conditions("Model", MODEL)["Available"][0] == "True"
    world.upgrade("v2")
    world.run(120)
    assert world.serving_tag == "v2"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_a_version_with_a_defect_is_not_gone_back_to() -> None:
    """v2 was left for a defect; a defect of v1, which serves since then, finds nothing better."""
    world = upgraded(WARM)
    report(world, "P0:BUG-1")
    world.run(10)
    report(world, "P0:BUG-2")
    world.run(3600)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"][0] == "False"
    assert len(recorded(world)) == 2


def test_cold_it_goes_to_the_last_good_version_and_not_to_the_base() -> None:
    world = upgraded(COLD)
    good = world.serving
    world.upgrade("v3")
    world.run(COLD)
    report(world, "P0:BUG-1")
    world.run(10)
    assert world.serving == good
    assert status(world)["history"][0]["outcome"] == "Restored"


def test_a_pinned_version_is_left_too() -> None:
    world = upgraded()
    world.model(serving={"version": world.serving})
    world.run(10)
    report(world, "P0:BUG-1")
    world.run(10)
    assert world.serving == "digits-1"


def test_a_left_over_report_says_nothing_of_a_model_that_is_new() -> None:
    world = World()
    world.model()
    report(world, "P0:BUG-1")
    world.run(5)
    world.base()
    world.run(120)
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert recorded(world) == ["P0:BUG-1@"]


def test_a_malformed_report_does_nothing_but_say_so() -> None:
    world = upgraded()
    report(world, "critical BUG-1\n")
    world.run(3600)
    assert world.serving_tag == "v2"
    said = {c["type"]: c["message"] for c in status(world)["conditions"]}
    assert "'critical BUG-1' is not of the form <severity>:<id>[@<version>]" in said["InvalidDefect"]
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert [e.reason for e in world.events] == ["DefectMalformed"]
    world.annotations("Model", MODEL).clear()
    world.run(5)
    assert "InvalidDefect" not in world.conditions("Model", MODEL)


def test_ten_are_kept_and_an_old_one_does_not_come_back() -> None:
    world = upgraded()
    bad = world.serving
    report(world, "P0:BUG-0")
    world.run(60)
    for number in range(1, 13):
        report(world, f"P3:BUG-{number}")
        world.run(60)
    assert recorded(world)[0] == "P3:BUG-12@digits-1"
    assert len(recorded(world)) == 10
    assert f"P0:BUG-0@{bad}" not in recorded(world)
    idle = len(world.writes)
    world.run(3600)
    assert len(world.writes) == idle


def test_a_decision_that_somebody_spoiled_breaks_nothing() -> None:
    world = upgraded()
    report(world, "P0:BUG-1")
    world.run(120)
    service = world.objects["Service", MODEL]["metadata"]["annotations"]
    service[DECISION] = service[DECISION].replace("P0:BUG-1", "P0:BUG 1 ")
    world.run(120)
    assert world.serving == "digits-1"


CANARY = {"type": "Canary", "canary": {"steps": [{"weight": 50, "pauseSeconds": 3600}]}}


@pytest.mark.parametrize("seconds", [DURING_THE_BAKE, WARM, COLD])
@pytest.mark.parametrize(
    "strategy", [{"type": "Recreate"}, {"type": "Rolling"}, CANARY], ids=lambda one: str(one["type"])
)
def test_no_strategy_delays_the_way_back(seconds: int, strategy: dict[str, Any]) -> None:
    """Without a second copy the good version is started again; a canary's steps are for what is new."""
    world = upgraded(seconds)
    world.model(strategy=strategy)
    if strategy["type"] != "Canary":
        world.upgrade("v3")
        world.run(seconds)
        assert world.serving_tag == "v3"
    good = world.objects["Model", MODEL]["status"]["stableVersion" if seconds == DURING_THE_BAKE else "previousVersion"]
    bad = world.serving
    report(world, "P0:BUG-1")
    world.run(30)
    assert world.serving == good
    assert recorded(world) == [f"P0:BUG-1@{bad}"]
    world.run(3600)
    assert world.serving == good
    assert status(world)["lastRollback"]["reason"] == "DefectReported"
    assert world.conditions("Model", MODEL)["Available"][0] == "True"


def test_a_second_report_goes_back_to_the_base_without_a_canarys_pauses() -> None:
    world = upgraded(COLD)
    world.upgrade("v3")
    world.run(COLD)
    world.model(strategy=CANARY)
    for number, expected in ((1, "v2"), (2, "v1")):
        report(world, f"P0:BUG-{number}")
        world.run(60)
        assert world.serving_tag == expected
        world.run(COLD)
