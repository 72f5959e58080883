"""Canary and Rolling: shares that grow by steps, survive a restart, and go back at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from topgraft.rollout import views

from .world import MODEL, World

STEPS = [{"weight": 25, "pauseSeconds": 30}, {"weight": 50, "pauseSeconds": 60}, {"weight": 75, "pauseSeconds": 10}]
CANARY: dict[str, Any] = {"type": "Canary", "canary": {"steps": STEPS}, "progressDeadlineSeconds": 300}
ROLLING: dict[str, Any] = {"type": "Rolling", "progressDeadlineSeconds": 300}
BOTH = pytest.mark.parametrize("strategy", [CANARY, ROLLING], ids=["Canary", "Rolling"])


def started(strategy: dict[str, Any], replicas: int = 4, **fields: Any) -> World:
    world = World(images={"v4": "crash", "v5": "class:Other", "v7": "unready"}, **fields)
    world.model(serving={"replicas": replicas}, strategy=strategy)
    world.base()
    world.run(120)
    assert world.serving == "digits-1"
    world.writes.clear()
    world.events.clear()
    return world


def pods(world: World) -> dict[str, int]:
    """Ready pods that the Service selects, by tag."""
    selector = world.objects["Service", MODEL]["spec"]["selector"]
    found: dict[str, int] = {}
    for pod in world._serving_pods():
        labels = pod["metadata"]["labels"]
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
        if ready and selector.items() <= labels.items():
            tag = world.tag_of(labels[views.VERSION_LABEL]) or "?"
            found[tag] = found.get(tag, 0) + 1
    return found


def rollout(world: World) -> dict[str, Any]:
    status: dict[str, Any] = world.objects["Model", MODEL]["status"]
    return dict(status["rollout"])


def until_shared(world: World) -> None:
    for _ in range(200):
        world.look()
        world.now += timedelta(seconds=0.2)
        if world.decision and world.decision.direction == "Step":
            return
    raise AssertionError(world.objects["Model", MODEL]["status"])


def test_a_canary_grows_by_its_steps_and_ends_with_a_bake() -> None:
    world = started(CANARY)
    world.upgrade("v2")
    world.run(5)
    assert pods(world) == {"v1": 4, "v2": 2}
    told = rollout(world)
    assert (told["step"], told["canaryStep"], told["weight"]) == ("Canary", 0, 25)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "CanaryStep")
    assert world.conditions("Model", MODEL)["RollbackReady"] == ("True", "StandbyReady")
    world.run(20)
    assert pods(world) == {"v1": 4, "v2": 2}, "the pause is not over"
    world.run(15)
    assert pods(world) == {"v1": 4, "v2": 4}
    assert rollout(world)["weight"] == 50
    world.run(55)
    assert pods(world) == {"v1": 1, "v2": 4}
    world.run(17)
    assert pods(world) == {"v2": 4}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Baking")
    assert world.objects["Deployment", "digits-1"]["spec"]["replicas"] == 4, "at full size while the new one bakes"
    world.run(70)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert world.conditions("Model", MODEL)["RollbackReady"] == ("True", "StandbyReady")
    assert [e.reason for e in world.events if e.reason == "CanaryStep"] == ["CanaryStep"] * 3


@pytest.mark.parametrize("replicas", [1, 4, 7])
def test_rolling_needs_a_quarter_more_and_never_has_too_few(replicas: int) -> None:
    world = started(ROLLING, replicas, room=replicas + -(-replicas // 4))
    world.upgrade("v2")
    fewest = replicas

    def look() -> Any:
        nonlocal fewest
        made = world.look()
        fewest = min(fewest, sum(pods(world).values()))
        return made

    world.run(120, look)
    assert world.serving_tag == "v2"
    assert fewest >= replicas
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert world.conditions("Model", MODEL)["RollbackReady"] == ("True", "StandbyReady")


@BOTH
@pytest.mark.parametrize("tag", ["v4", "v5", "v7"])
def test_a_bad_version_gets_no_request(strategy: dict[str, Any], tag: str) -> None:
    world = started(strategy)
    world.upgrade(tag)
    world.run(400)
    assert world.serving == "digits-1"
    assert ("switch", "Service", MODEL) not in world.writes
    assert world.conditions("AdapterUpgrade", "digits")["Ready"][0] == "False"


@BOTH
def test_death_of_the_candidate_at_a_step_goes_back_at_once(strategy: dict[str, Any]) -> None:
    world = started(strategy)
    world.upgrade("v2")
    until_shared(world)
    candidate = world.decision.candidate if world.decision else ""
    world.dead.add(candidate or "")
    world.look()
    assert world.serving == "digits-1"
    world.run(5)
    assert pods(world) == {"v1": 4}
    assert ("Deployment", candidate) not in world.objects
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "NoReadyPods")
    assert world.objects["Model", MODEL]["status"]["history"][0]["outcome"] == "RolledBack"
    world.dead.clear()
    world.writes.clear()
    world.run(4000)
    assert world.writes == []


@BOTH
def test_one_dying_pod_of_several_is_enough(strategy: dict[str, Any]) -> None:
    world = started(strategy)
    world.upgrade("v2")
    until_shared(world)
    world.run(1)
    new = [p for p in world._serving_pods() if p["metadata"]["deployment"] != "digits-1"]
    world.dead.add(new[0]["metadata"]["name"])
    world.run(40)
    if strategy is CANARY:
        assert world.serving == "digits-1"
        assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "ReadinessFailed")


@BOTH
@pytest.mark.parametrize("after", [0, 2, 40, 70, 110])
def test_an_edit_in_the_middle_starts_again_from_the_stable_version(strategy: dict[str, Any], after: int) -> None:
    world = started(strategy)
    world.upgrade("v2")
    world.run(after)
    stable = world.tag_of(world.objects["Model", MODEL]["status"]["stableVersion"])
    world.upgrade("v3")
    seen: set[frozenset[str]] = set()

    def look() -> Any:
        made = world.look()
        seen.add(frozenset(pods(world)))
        return made

    world.run(300, look)
    assert pods(world) == {"v3": 4}
    assert all(tags <= {"v3", stable} for tags in seen if "v3" in tags), "it shares with the stable one alone"
    failures = [b["status"].get("failure") for (k, _), b in world.objects.items() if k == "ModelVersion"]
    assert failures == [None] * len(failures)


def test_a_pause_survives_a_restart_and_a_lost_status() -> None:
    world = started(CANARY)
    world.upgrade("v2")
    world.run(35)
    begun = world.decision
    assert begun is not None
    assert begun.step == 1
    rollout(world).clear()
    world.run(50)
    assert world.decision == begun
    world.run(15)
    assert world.decision != begun


def test_the_standby_of_an_earlier_rollout_gets_no_request() -> None:
    world = started(CANARY)
    world.upgrade("v2")
    world.run(250)
    assert ("Deployment", "digits-1") in world.objects
    world.upgrade("v3")
    world.run(20)
    assert set(pods(world)) == {"v2", "v3"}
    assert ("Deployment", "digits-1") not in world.objects


def test_a_step_for_which_there_is_no_room_goes_back_and_is_tried_again() -> None:
    world = started(CANARY, room=6)
    world.upgrade("v2")
    world.run(200)
    assert pods(world) == {"v1": 4, "v2": 2}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Unschedulable")
    world.run(180)
    assert pods(world) == {"v1": 4}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "EnvironmentNotReady")
    world.room = None
    world.run(400)
    assert pods(world) == {"v2": 4}


def test_a_suspended_upgrade_leaves_the_share() -> None:
    world = started(CANARY)
    world.upgrade("v2")
    world.run(10)
    world.upgrade("v2", suspend=True)
    world.run(5)
    assert pods(world) == {"v1": 4}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Suspended")


@BOTH
def test_scaling_in_the_middle_restarts_nothing(strategy: dict[str, Any]) -> None:
    world = started(strategy)
    world.upgrade("v2")
    until_shared(world)
    begun = world.decision
    world.model(serving={"replicas": 8}, strategy=strategy)
    world.run(10)
    assert sum(pods(world).values()) >= 8
    if strategy is CANARY:
        assert world.decision == begun
        assert pods(world) == {"v1": 8, "v2": 3}


@BOTH
def test_approval_is_asked_for_before_the_first_share(strategy: dict[str, Any]) -> None:
    world = started({**strategy, "requireApproval": True})
    world.upgrade("v2")
    world.run(60)
    assert set(pods(world)) == {"v1"}
    name = world.objects["AdapterUpgrade", "digits"]["status"]["toVersion"]
    assert world.conditions("AdapterUpgrade", "digits")["Ready"][1] == "AwaitingApproval"
    world.annotations("Model", MODEL)[views.APPROVED_VERSION] = name
    world.run(250)
    assert pods(world) == {"v2": 4}


@BOTH
def test_killed_after_any_write_the_end_is_the_same(strategy: dict[str, Any]) -> None:
    begun = started(strategy)
    begun.upgrade("v2")
    for calm, world in begun.killed(250, lambda writes: range(1, writes, 5)):
        assert pods(world) == pods(calm)


def test_the_pods_of_both_sides_are_what_is_scaled_while_they_share_the_requests() -> None:
    """An autoscaler multiplies the load of the selected pods with their number: of one alone it would keep one."""
    world = started({"type": "Canary", "canary": {"steps": [{"weight": 75, "pauseSeconds": 60}]}})

    def scale() -> tuple[int, int]:
        """(what the status tells, pods that its selector finds)."""
        status = world.objects["Model", MODEL]["status"]
        wanted = dict(part.split("=") for part in status["selector"].split(","))
        found = [
            p for (k, _), p in world.objects.items() if k == "Pod" and wanted.items() <= p["metadata"]["labels"].items()
        ]
        return status["replicas"], len(found)

    assert scale() == (4, 4)
    world.upgrade("v2")
    world.run(30)
    assert pods(world) == {"v1": 1, "v2": 4}
    assert scale() == (5, 5)
    world.run(300)
    assert world.serving_tag == "v2"
    assert scale() == (4, 4)
