"""What a version says of itself while it waits, is left behind and comes to rest."""

from __future__ import annotations

from typing import Any

import pytest

from .world import MODEL, World

WAY = ("Reconciling", "Stalled", "Suspended")


@pytest.fixture
def world() -> World:
    """digits-1 serves; tag v2 cannot be pulled."""
    made = World(images={"v2": "registry"})
    made.model()
    made.base(revision=1)
    made.run(120)
    return made


def rests(world: World, name: str) -> bool:
    """Whether the version says that nothing goes on with it, and that there is nothing more to write."""
    said = world.conditions("ModelVersion", name)
    world.writes.clear()
    world.run(3600)
    assert world.writes == []
    return said["Ready"] == ("True", "Recorded") and not any(kind in said for kind in WAY)


@pytest.mark.parametrize(("deadline", "reason"), [(600, "RegistryUnavailable"), (60, "EnvironmentNotReady")])
def test_a_candidate_left_behind_by_a_pin_comes_to_rest(world: World, deadline: int, reason: str) -> None:
    world.model(strategy={"progressDeadlineSeconds": deadline})
    world.base("digits-2", "v2", revision=2)
    world.run(100)
    assert world.conditions("ModelVersion", "digits-2")["Ready"][1] == reason
    world.model(serving={"version": "digits-1"}, strategy={"progressDeadlineSeconds": deadline})
    world.run(60)
    assert rests(world, "digits-2")


def test_a_derived_candidate_left_behind_by_a_reverted_tag_comes_to_rest(world: World) -> None:
    world.upgrade("v2")
    world.run(100)
    (left,) = (name for kind, name in world.objects if kind == "ModelVersion" and name != "digits-1")
    assert "Reconciling" in world.conditions("ModelVersion", left)
    world.upgrade("v1")
    world.run(100)
    assert rests(world, left)


def test_a_candidate_held_by_a_gate_and_left_behind_comes_to_rest(world: World) -> None:
    closed: dict[str, Any] = {"strategy": {"requireApproval": True}}
    world.model(**closed)
    world.base("digits-2", "v3", revision=2)
    world.run(100)
    assert "Suspended" in world.conditions("ModelVersion", "digits-2")
    world.model(serving={"version": "digits-1"}, **closed)
    world.run(60)
    assert rests(world, "digits-2")


def test_what_failed_or_lacks_lineage_stays_stalled_at_rest(world: World) -> None:
    world.images["v4"] = "crash"
    world.base("digits-4", "v4", revision=4)
    world.run(100)
    world.model(serving={"version": "digits-1"}, lineagePolicy="Enforce")
    world.base("digits-5", "v5", revision=5)
    world.run(100)
    assert not rests(world, "digits-4")
    assert world.conditions("ModelVersion", "digits-4")["Stalled"] == ("True", "CrashLoop")
    assert world.conditions("ModelVersion", "digits-5")["Stalled"] == ("True", "LineageMissing")
    world.model(serving={"version": "digits-1"})
    world.run(60)
    assert rests(world, "digits-5")


def test_a_queued_version_says_so_and_once_it_is_prepared_no_more(world: World) -> None:
    world.may_start = False
    world.base("digits-3", "v3", revision=3)
    world.run(600)
    said = world.conditions("ModelVersion", "digits-3")
    assert (said["Ready"], said["Reconciling"]) == (("Unknown", "Queued"), ("True", "Queued"))
    world.writes.clear()
    world.run(3600)
    assert world.writes == []
    world.images["v3"] = "loading"
    world.may_start = True
    world.run(5)
    assert world.conditions("ModelVersion", "digits-3")["Ready"] == ("Unknown", "Verifying")
    world.images["v3"] = "ok"
    world.run(120)
    assert world.conditions("ModelVersion", "digits-3")["Ready"] == ("True", "Serving")


def test_a_version_that_a_user_made_is_told_of_once_while_it_is_prepared(world: World) -> None:
    world.writes.clear()
    world.images["v3"] = "loading"
    world.base("digits-3", "v3", revision=3)
    world.run(60)
    said = world.conditions("ModelVersion", "digits-3")
    assert (said["Ready"], said["Reconciling"]) == (("Unknown", "Verifying"), ("True", "Verifying"))
    assert world.writes.count(("status", "ModelVersion", "digits-3")) == 1


def test_the_first_version_is_told_of_from_its_first_look() -> None:
    made = World(images={"v1": "loading"})
    made.model()
    made.base()
    made.run(1)
    assert made.conditions("ModelVersion", "digits-1")["Reconciling"] == ("True", "Verifying")
    made.images["v1"] = "ok"
    made.run(120)
    assert made.serving == "digits-1"
    assert "Reconciling" not in made.conditions("ModelVersion", "digits-1")
    assert made.conditions("Model", MODEL)["Ready"][0] == "True"
