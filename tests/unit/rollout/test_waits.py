"""Orders that cannot be carried out yet: told once, written no more, and carried out when the cause is gone."""

from __future__ import annotations

import pytest

from .world import MODEL, World


@pytest.fixture
def world() -> World:
    made = World()
    made.model()
    return made


def test_an_upgrade_from_a_missing_version_is_told_once(world: World) -> None:
    world.base()
    world.run(120)
    world.upgrade("v2", fromVersion="digits-2")
    world.run(5)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "VersionNotFound")
    world.writes.clear()
    world.run(3600)
    assert world.writes == []
    world.base("digits-2")
    world.run(90)
    assert world.serving_tag == "v2"


def test_a_complete_candidate_waits_for_a_service_that_is_somebody_elses(world: World) -> None:
    world.refusals[f"Service/{MODEL}"] = "NotOwned: Service digits exists and is not Topgraft's; rename or delete it"
    world.base()
    world.run(60)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "ServiceNotOwned")
    world.writes.clear()
    world.run(600)
    assert world.writes == [], "no pod is made or removed while it waits"
    world.refusals.clear()
    world.turn()
    assert world.serving == "digits-1"


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 2},
        {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
    ],
    ids=["a pod of the old settings is left", "the controller has not looked yet"],
)
def test_a_setting_that_has_not_reached_every_pod_is_not_told_as_served(world: World, status: dict[str, int]) -> None:
    world.base()
    world.run(120)
    world.model(serving={"env": [{"name": "COLOUR", "value": "green"}]})
    world.run(0)
    world.objects["Deployment", "digits-1"]["metadata"]["generation"] = 2
    world.objects["Deployment", "digits-1"]["status"] = status
    world.turn()
    assert world.conditions("Model", MODEL)["Ready"] == ("Unknown", "PodsStarting")
    assert world.conditions("Model", MODEL)["Available"][0] == "True"
