"""The queue of a fleet as one Model lives through it."""

from __future__ import annotations

import pytest

from .world import MODEL, World


@pytest.fixture
def world() -> World:
    made = World(images={"v8": "registry"})
    made.model()
    made.base()
    made.run(120)
    return made


def record(world: World) -> dict[str, str]:
    return dict(world.objects["Model", MODEL]["status"].get("rollout", {}))


def ready(world: World) -> tuple[str, str]:
    return world.conditions("AdapterUpgrade", MODEL)["Ready"]


def test_a_queued_rollout_has_no_pods_and_begins_when_it_may(world: World) -> None:
    world.may_start = False
    world.upgrade("v2")
    world.run(600)
    assert ready(world) == ("Unknown", "Queued")
    assert not record(world)
    assert [name for kind, name in world.objects if kind == "Deployment"] == ["digits-1"]
    world.may_start = True
    world.run(100)
    assert ready(world) == ("True", "UpgradeSucceeded")


def test_a_retry_asks_for_a_slot_again_and_tells_why_it_is_one_all_the_time(world: World) -> None:
    world.upgrade("v8")
    world.run(620)
    assert ready(world) == ("False", "EnvironmentNotReady")
    assert record(world)["step"] == "Waiting"
    world.may_start = False
    since = record(world)["retryTime"]
    world.run(600)
    assert ready(world) == ("False", "EnvironmentNotReady")
    assert (record(world)["step"], record(world)["retryTime"]) == ("Queued", since)
    assert not [name for kind, name in world.objects if kind == "Pod" and "preflight" in name]
    idle = len(world.writes)
    world.run(600)
    assert len(world.writes) == idle
    world.images["v8"] = "ok"
    world.may_start = True
    world.run(10)
    assert world.serving_tag == "v8"
    world.run(100)
    assert ready(world) == ("True", "UpgradeSucceeded")


def test_a_rollout_that_runs_is_not_stopped_by_a_full_queue(world: World) -> None:
    world.images["v2"] = "loading"
    world.upgrade("v2")
    world.run(5)
    world.may_start = False
    world.images["v2"] = "ok"
    world.run(100)
    assert ready(world) == ("True", "UpgradeSucceeded")
