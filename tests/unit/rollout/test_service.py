"""The Service gone or stripped by hand: the record in the Model's status brings it back, at once and to the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from topgraft.rollout import views

from .world import MODEL, World


@pytest.fixture
def world() -> World:
    made = World()
    made.model()
    made.base()
    made.run(120)
    made.upgrade("v2")
    return made


def strip(world: World) -> None:
    del world.objects["Service", MODEL]["metadata"]["annotations"]


def delete(world: World) -> None:
    world.remove("Service", MODEL)


@pytest.mark.parametrize("spoil", [strip, delete])
def test_it_comes_back_in_one_write(world: World, spoil: Callable[[World], None]) -> None:
    world.run(90)
    serving = world.serving
    spoil(world)
    world.writes.clear()
    world.turn()
    assert world.writes == [("switch", "Service", MODEL)]
    assert world.serving == serving
    world.run(1)
    assert ("Deployment", "digits-1") in world.objects, "the standby stays warm"
    assert not [w for w in world.writes if w[1] in ("Pod", "Deployment")]
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


@pytest.mark.parametrize("spoil", [strip, delete])
def test_the_bake_starts_again_with_the_old_version_at_full_size(world: World, spoil: Callable[[World], None]) -> None:
    world.run(30)
    candidate = world.serving
    assert candidate
    assert candidate != "digits-1"
    spoil(world)
    world.run(1)
    assert world.serving == candidate
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Baking")
    assert world.objects["Deployment", "digits-1"]["spec"]["replicas"] == 2
    world.dead.add(candidate)
    world.run(1)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "NoReadyPods")


def test_a_deleted_service_of_a_version_that_died_comes_back_on_the_old_one(world: World) -> None:
    world.run(30)
    candidate = world.serving
    assert candidate
    world.dead.add(candidate)
    world.settle()
    world.remove("Service", MODEL)
    world.turn()
    assert world.serving == "digits-1"
    world.run(5)
    decision = views.Service.model_validate(world.objects["Service", MODEL]).decision
    assert decision is not None
    assert decision.leaves == "Failed"
    assert world.conditions("AdapterUpgrade", "digits")["RolledBack"][0] == "True"
