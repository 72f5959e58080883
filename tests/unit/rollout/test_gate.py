"""Approval and maintenance windows: what waits, what it says, what never waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.health import argo_health, contract_violations
from topgraft.rollout.views import APPROVED_VERSION, DEFECT

from .world import MODEL, World

NIGHT = {"days": ["Sun"], "start": "22:00", "hours": 2}
"""The world begins on Sunday 2026-11-22 at 12:00 UTC."""
OTHER_WEIGHTS = {"volumes": [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "more"}}]}
APPROVAL: dict[str, Any] = {"requireApproval": True}


def started(**strategy: Any) -> World:
    world = World(images={"v4": "crash", "v8": "registry"})
    world.model(strategy=strategy)
    world.base()
    world.run(120)
    assert world.serving_tag == "v1", "the first deployment waits for nobody"
    world.writes.clear()
    return world


def at(world: World, clock: str) -> None:
    hour, minute = (int(part) for part in clock.split(":"))
    moment = datetime(2026, 11, 22, hour, minute, tzinfo=UTC)
    assert moment >= world.now
    world.run((moment - world.now).total_seconds())


def candidate(world: World) -> str:
    return str(world.objects["Model", MODEL]["status"]["candidateVersion"])


def approve(world: World, name: str) -> None:
    world.annotations("Model", MODEL)[APPROVED_VERSION] = name


def says(world: World, kind: str = "AdapterUpgrade") -> tuple[str, str]:
    return world.conditions(kind, MODEL)["Ready"]


def message(world: World, kind: str, condition: str) -> str:
    found = world.objects[kind, MODEL]["status"]["conditions"]
    return next(str(c["message"]) for c in found if c["type"] == condition)


def baking(world: World, **spec: Any) -> str:
    """v2, approved, in its bake."""
    world.upgrade("v2", **spec)
    world.run(5)
    approve(world, candidate(world))
    world.run(5)
    assert world.serving_tag == "v2"
    return str(world.serving)


def version_of(world: World, tag: str) -> str:
    return next(name for kind, name in world.objects if kind == "ModelVersion" and world.tag_of(name) == tag)


def test_a_complete_candidate_waits_for_approval_and_tells_how() -> None:
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(5)
    name = candidate(world)
    assert world.serving_tag == "v1"
    assert says(world) == ("Unknown", "AwaitingApproval")
    assert world.conditions("AdapterUpgrade", MODEL)["Suspended"] == ("True", "AwaitingApproval")
    assert world.conditions("Model", MODEL)["Held"] == ("True", "AwaitingApproval")
    assert says(world, "Model") == ("True", "Serving")
    assert world.conditions("ModelVersion", name)["Suspended"] == ("True", "AwaitingApproval")
    told = message(world, "AdapterUpgrade", "Ready")
    assert (
        f"kubectl annotate models.topgraft.dev {MODEL} --namespace team --overwrite {APPROVED_VERSION}={name}" in told
    )
    assert argo_health(world.objects["AdapterUpgrade", MODEL]).status == "Suspended"
    for kind, obj in (("AdapterUpgrade", MODEL), ("Model", MODEL), ("ModelVersion", name)):
        assert contract_violations(world.objects[kind, obj]) == []
    assert [e.reason for e in world.events].count("AwaitingApproval") == 1
    approve(world, name)
    world.run(5)
    assert world.serving_tag == "v2"
    world.run(120)
    assert says(world) == ("True", "UpgradeSucceeded")
    assert "Held" not in world.conditions("Model", MODEL)


def test_no_deadline_runs_while_a_person_decides() -> None:
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(86400 * 3)
    assert says(world) == ("Unknown", "AwaitingApproval")
    idle = len(world.writes)
    world.run(86400)
    assert len(world.writes) == idle, "waiting writes nothing"
    # A pod that is made anew in the meantime gets the whole deadline.
    name = candidate(world)
    world.dead.add(name)
    world.run(300)
    assert says(world) == ("Unknown", "Verifying")
    world.dead.clear()
    world.run(5)
    assert says(world) == ("Unknown", "AwaitingApproval")
    approve(world, name)
    world.run(100)
    assert says(world) == ("True", "UpgradeSucceeded")


def test_a_candidate_that_breaks_while_it_waits_has_failed() -> None:
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(1000)
    world.images["v2"] = "crash"
    world.run(60)
    assert says(world)[0] == "False"
    assert world.serving_tag == "v1"


def test_the_approval_of_another_version_does_not_count() -> None:
    world = started(**APPROVAL)
    approve(world, "digits-other")
    world.upgrade("v2")
    world.run(5)
    assert says(world) == ("Unknown", "AwaitingApproval")
    assert "'digits-other'" in message(world, "AdapterUpgrade", "Ready")


def test_an_edit_while_it_waits_needs_an_approval_of_its_own() -> None:
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(5)
    first = candidate(world)
    world.upgrade("v3")
    world.run(5)
    assert candidate(world) != first
    approve(world, first)
    world.run(5)
    assert world.serving_tag == "v1"
    assert ("Deployment", first) not in world.objects
    approve(world, candidate(world))
    world.run(5)
    assert world.serving_tag == "v3"


def test_new_weights_wait_too() -> None:
    world = started(**APPROVAL)
    world.base("digits-2", "v2", revision=2)
    world.run(5)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Held"] == ("True", "AwaitingApproval")
    approve(world, "digits-2")
    world.run(5)
    assert world.serving == "digits-2"


@pytest.mark.parametrize("seconds", [5, 1000])
def test_a_way_back_needs_no_approval_and_no_window(seconds: int) -> None:
    """To the previous version: warm, or started again."""
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(5)
    approve(world, candidate(world))
    world.run(100 + seconds)
    assert world.serving_tag == "v2"
    world.model(strategy={**APPROVAL, "windows": [{**NIGHT, "days": ["Wed"]}]})
    world.upgrade("v1")
    world.run(5)
    assert world.serving_tag == "v1"


@pytest.mark.parametrize("seconds", [0, 700])
def test_a_pin_is_its_own_approval(seconds: int) -> None:
    world = started(**APPROVAL, windows=[NIGHT])
    world.base("digits-2", "v2", revision=2)
    world.run(seconds)
    assert world.serving == "digits-1"
    world.model(strategy={**APPROVAL, "windows": [NIGHT]}, serving={"version": "digits-2"})
    world.run(5)
    assert world.serving == "digits-2"


def test_a_rollout_begins_inside_its_window_only() -> None:
    world = started(windows=[NIGHT])
    world.upgrade("v2")
    world.run(5)
    assert says(world) == ("Unknown", "OutsideWindow")
    assert "opens at 2026-11-22T22:00:00Z (Etc/UTC)" in message(world, "AdapterUpgrade", "Ready")
    assert argo_health(world.objects["AdapterUpgrade", MODEL]).status == "Suspended"
    assert [name for kind, name in world.objects if kind == "Deployment"] == ["digits-1"], "no pods before"
    idle = len(world.writes)
    assert world.look().look_again == (datetime(2026, 11, 22, 22, tzinfo=UTC) - world.now).total_seconds()
    at(world, "21:59")
    assert len(world.writes) == idle
    at(world, "22:01")
    assert world.serving_tag == "v2"


def test_a_window_that_is_opened_by_an_edit_opens() -> None:
    world = started(windows=[NIGHT])
    world.upgrade("v2")
    world.run(5)
    world.model(strategy={"windows": [{**NIGHT, "start": "12:00"}]})
    world.run(5)
    assert world.serving_tag == "v2"


def test_what_began_inside_is_finished_outside() -> None:
    world = started(windows=[NIGHT])
    world.images["v2"] = "loading"
    at(world, "23:58")
    world.upgrade("v2")
    world.run(300)
    assert says(world) == ("Unknown", "Verifying")
    world.images["v2"] = "ok"
    world.run(10)
    assert world.serving_tag == "v2"


def test_an_approval_by_day_does_not_move_what_is_to_move_by_night() -> None:
    world = started(**APPROVAL, windows=[NIGHT])
    world.upgrade("v2")
    at(world, "22:01")
    name = candidate(world)
    world.run(86400)
    assert says(world) == ("Unknown", "AwaitingApproval")
    approve(world, name)
    world.run(5)
    assert says(world) == ("Unknown", "OutsideWindow")
    assert ("Deployment", name) in world.objects, "it stays complete"
    world.run(6 * 86400)
    assert world.serving_tag == "v2"


@pytest.mark.parametrize("weights", [False, True], ids=["a tag", "weights"])
@pytest.mark.parametrize("gate", ["approval", "window"])
def test_what_a_gate_would_hold_leaves_an_approved_bake_alone(gate: str, weights: bool) -> None:
    """Another order in mid-bake: going back for it would undo what was approved, and bring nothing in its place."""
    strategy = APPROVAL if gate == "approval" else {"windows": [NIGHT]}
    reason = "AwaitingApproval" if gate == "approval" else "OutsideWindow"
    world = started(**strategy)
    if gate == "window":
        at(world, "23:57")
    baked, since = baking(world), world.now
    world.model(strategy={**strategy, "windows": [{**NIGHT, "start": "20:00"}] if gate == "window" else []})
    world.base("digits-2", "v1", revision=2, artifact=OTHER_WEIGHTS) if weights else world.upgrade("v3")
    world.run(20)
    assert (world.serving, world.now - since < timedelta(seconds=60)) == (baked, True), "it still bakes"
    assert world.conditions("Model", MODEL)["Held"] == ("True", reason)
    assert world.conditions("Model", MODEL)["Ready"] == ("Unknown", "Baking")
    assert says(world) == ("Unknown", reason)
    assert f"waits until the bake of {baked} is over" in message(world, "AdapterUpgrade", "Ready")
    for kind in ("AdapterUpgrade", "Model"):
        assert contract_violations(world.objects[kind, MODEL]) == []
    world.run(100)
    assert world.serving == baked
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == baked
    assert world.objects["Model", MODEL]["status"]["history"][0]["outcome"] == "Succeeded"
    assert world.objects["AdapterUpgrade", MODEL]["status"]["history"][0]["outcome"] == "Succeeded"
    assert world.objects["AdapterUpgrade", MODEL]["status"]["fromVersion"] == baked
    assert says(world) == ("Unknown", reason)
    assert [e.reason for e in world.events].count("SwitchedBack") == 0
    world.model(strategy={})
    world.run(120)
    assert says(world) == ("True", "UpgradeSucceeded")
    assert world.serving != baked


def test_what_dies_in_its_bake_goes_back_whatever_order_waits_behind_it() -> None:
    world = started(**APPROVAL)
    first = baking(world)
    world.upgrade("v3")
    world.run(5)
    assert world.serving == first
    world.dead.add(first)
    world.run(30)
    assert world.serving_tag == "v1"
    assert world.objects["ModelVersion", first]["status"]["failure"]["reason"]
    assert says(world) == ("Unknown", "AwaitingApproval")
    past = world.objects["AdapterUpgrade", MODEL]["status"]["history"][0]
    assert (past["version"], past["outcome"], past["reason"]) == (first, "Failed", "NoReadyPods")
    assert world.objects["Model", MODEL]["status"]["history"][0]["outcome"] == "RolledBack"
    world.upgrade("v2")
    world.run(60)
    assert world.serving_tag == "v1", "what failed is not tried again by itself"
    assert says(world)[0] == "False"


def test_an_order_that_has_failed_before_takes_nothing_back() -> None:
    world = started(**APPROVAL)
    world.upgrade("v4")
    world.run(120)
    assert says(world)[0] == "False"
    baked = baking(world)
    world.upgrade("v4")
    world.run(20)
    assert world.serving == baked
    assert says(world) == ("False", "CrashLoop")
    world.run(120)
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == baked
    assert world.objects["Model", MODEL]["status"]["history"][0]["outcome"] == "Succeeded"


def test_a_defect_of_the_order_that_waits_takes_nothing_back() -> None:
    world = started(**APPROVAL)
    baked = baking(world)
    world.upgrade("v3")
    world.run(5)
    later = version_of(world, "v3")
    world.annotations("Model", MODEL)[DEFECT] = f"P0:B-1@{later}"
    world.run(120)
    assert world.serving == baked
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == baked
    assert says(world) == ("False", "DefectReported")


def test_an_order_that_cannot_be_recorded_says_nothing_of_the_bake() -> None:
    world = started(**APPROVAL)
    baked = baking(world)
    world.upgrade("v3")
    world.look()
    later = version_of(world, "v3")
    world.remove("ModelVersion", later)
    world.refusals[f"ModelVersion/{later}"] = "exceeded quota"
    world.run(20)
    assert world.conditions("Model", MODEL)["Ready"] == ("Unknown", "Baking")
    assert world.objects["Model", MODEL]["status"]["rollout"]["to"] == baked
    idle = len(world.writes)
    world.run(20)
    assert len(world.writes) == idle
    world.run(100)
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == baked
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "VersionRefused")
    outcomes = [entry["outcome"] for entry in world.objects["Model", MODEL]["status"]["history"]]
    assert outcomes.count("Succeeded") == 2, "the first deployment's and the bake's own, once"


def test_a_bake_that_is_stuck_has_not_succeeded() -> None:
    world = started()
    world.upgrade("v2", rollback={"automatic": False})
    world.run(10)
    assert world.serving_tag == "v2"
    world.dead.add(str(world.serving))
    world.run(60)
    assert world.conditions("Model", MODEL)["Ready"][0] == "False"
    assert world.objects["Model", MODEL]["status"]["rollout"]["to"] == world.serving
    assert [entry["outcome"] for entry in world.objects["Model", MODEL]["status"]["history"]] == ["Succeeded"]


def test_a_bake_goes_on_by_the_policy_of_the_order_that_began_it() -> None:
    world = started(**APPROVAL)
    baked = baking(world, rollback={"bakeSeconds": 400})
    world.run(1)
    world.upgrade("v3", name="another", rollback={"bakeSeconds": 1, "automatic": False})
    world.run(300)
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == "digits-1", "it still bakes"
    world.dead.add(baked)
    world.run(30)
    assert world.serving_tag == "v1"


def test_newer_weights_with_an_adapter_of_their_own_wait_for_the_bake_and_the_upgrade_is_overtaken() -> None:
    world = started(**APPROVAL)
    baked = baking(world, fromVersion="digits-1")
    world.base("digits-2", "v3", revision=2, artifact=OTHER_WEIGHTS)
    world.run(20)
    assert world.serving == baked
    assert says(world) == ("True", "Overtaken")
    assert world.objects["AdapterUpgrade", MODEL]["status"]["toVersion"] == baked
    world.run(120)
    assert world.objects["Model", MODEL]["status"]["stableVersion"] == baked
    assert world.conditions("Model", MODEL)["Held"] == ("True", "AwaitingApproval")


def test_an_order_that_is_approved_in_the_bake_of_another_takes_its_place() -> None:
    world = started(**APPROVAL)
    baking(world)
    world.upgrade("v3")
    world.run(5)
    assert world.serving_tag == "v2"
    later = version_of(world, "v3")
    approve(world, later)
    world.run(10)
    assert world.serving_tag == "v3"


def test_an_unknown_zone_waits_and_is_named() -> None:
    world = started(windows=[{**NIGHT, "timeZone": "Europe/Berln"}])
    world.upgrade("v2")
    world.run(86400 * 8)
    assert says(world) == ("Unknown", "TimeZoneUnknown")
    assert "spec.strategy.windows[0].timeZone 'Europe/Berln'" in message(world, "AdapterUpgrade", "Ready")
    world.model(strategy={"windows": [{**NIGHT, "timeZone": "Europe/Berln"}, {**NIGHT, "days": ["Mon"]}]})
    world.run(5)
    assert says(world) == ("Unknown", "OutsideWindow")
    assert world.conditions("Model", MODEL)["InvalidWindow"] == ("True", "TimeZoneUnknown")


def test_suspend_in_mid_flight_takes_the_candidate_away_and_going_on_begins_anew() -> None:
    world = started(**APPROVAL)
    world.upgrade("v2")
    world.run(5)
    name = candidate(world)
    world.upgrade("v2", suspend=True)
    world.run(5)
    assert says(world) == ("Unknown", "Suspended")
    assert ("Deployment", name) not in world.objects
    assert "Held" not in world.conditions("Model", MODEL)
    assert world.objects["Model", MODEL]["status"].get("rollout") is None
    world.upgrade("v2")
    world.run(5)
    assert says(world) == ("Unknown", "AwaitingApproval")
    approve(world, name)
    world.run(100)
    assert says(world) == ("True", "UpgradeSucceeded")


def test_suspend_during_the_bake_leaves_what_serves_watched() -> None:
    """Suspending holds the order back, it is none to go back: a failure of what bakes still rolls back."""
    world = started()
    world.upgrade("v2")
    world.run(10)
    assert world.serving_tag == "v2"
    world.upgrade("v2", suspend=True)
    world.run(10)
    assert world.serving_tag == "v2"
    assert says(world) == ("Unknown", "Suspended")
    world.dead.add(world.serving or "")
    world.run(30)
    assert world.serving_tag == "v1"


@pytest.mark.parametrize(
    "strategy",
    [
        {"type": "Recreate"},
        {"type": "Rolling"},
        {"type": "Canary", "canary": {"steps": [{"weight": 50, "pauseSeconds": 30}]}},
    ],
    ids=lambda one: str(one["type"]),
)
def test_every_strategy_waits_before_its_first_step(strategy: dict[str, Any]) -> None:
    world = started(**APPROVAL, **strategy)
    world.upgrade("v2")
    world.run(7200)
    assert says(world) == ("Unknown", "AwaitingApproval")
    assert {world.tag_of(v) for v in answering(world)} == {"v1"}
    approve(world, candidate(world))
    world.run(300)
    assert world.serving_tag == "v2"
    assert says(world) == ("True", "UpgradeSucceeded")


def answering(world: World) -> set[str]:
    """Versions of the ready pods that the Service selects."""
    chosen = world.objects["Service", MODEL]["spec"]["selector"].items()
    pods = [body["metadata"]["labels"] for (kind, _), body in world.objects.items() if kind == "Pod"]
    return {labels["topgraft.dev/version"] for labels in pods if chosen <= labels.items()}
