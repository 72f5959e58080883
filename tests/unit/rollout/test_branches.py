"""Branches: a version beside what serves, by a name of its own, and no way of it into production traffic."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.rollout import views
from topgraft.rollout.summary import state_of

from .world import MODEL, World


@pytest.fixture
def world() -> World:
    """v1 serves; digits-2 is there to be tried."""
    made = World(images={"v4": "crash", "v8": "loading"})
    made.model()
    made.base(revision=1)
    made.base("digits-2", "v2", channel="PreRelease")
    made.run(120)
    assert made.serving == "digits-1"
    made.writes.clear()
    return made


def branch(world: World, *given: dict[str, Any], **spec: Any) -> None:
    world.model(branches=[{"name": "try", **one} for one in given], **spec)


def told(world: World) -> dict[str, Any]:
    (status,) = world.objects["Model", MODEL]["status"]["branches"]
    found: dict[str, Any] = status
    return found


def selected(world: World, service: str) -> set[str]:
    """The tags of the pods that a Service selects."""
    selector = world.objects["Service", service]["spec"]["selector"]
    pods = [p for (k, _), p in world.objects.items() if k == "Pod"]
    mine = [p for p in pods if selector.items() <= p["metadata"]["labels"].items()]
    return {world.tag_of(p["metadata"]["labels"][views.VERSION_LABEL]) or "" for p in mine}


def test_a_branch_runs_beside_what_serves(world: World) -> None:
    branch(world, {"version": "digits-2", "replicas": 2})
    world.run(60)
    assert told(world) == {
        "name": "try",
        "service": "digits-try",
        "version": "digits-2",
        "state": "ACTIVE",
        "replicas": 2,
        "readyReplicas": 2,
    }
    assert (selected(world, "digits-try"), selected(world, MODEL)) == ({"v2"}, {"v1"})
    said = world.conditions("Model", MODEL)
    assert (said["Ready"], said["BranchesReady"]) == (("True", "Serving"), ("True", "BranchPodsReady"))
    assert world.objects["Model", MODEL]["status"]["replicas"] == 2
    world.writes.clear()
    world.run(3600)
    assert world.writes == []


def test_without_branches_nothing_is_written_nor_said(world: World) -> None:
    world.run(600)
    assert world.writes == []
    assert "BranchesReady" not in world.conditions("Model", MODEL)


def test_another_version_rolls_in_place_and_a_branch_that_is_taken_away_goes(world: World) -> None:
    branch(world, {"version": "digits-2"})
    world.run(60)
    deployed = world.objects["Deployment", "digits-try"]["metadata"]["uid"]
    branch(world, {"version": "digits-1"})
    world.run(60)
    assert world.objects["Deployment", "digits-try"]["metadata"]["uid"] == deployed
    assert told(world)["version"] == "digits-1"
    branch(world)
    world.run(60)
    assert [key for key in world.objects if key[1].startswith("digits-try")] == []
    assert world.serving == "digits-1"


@pytest.mark.parametrize("strategy", ["BlueGreen", "Rolling", "Recreate", "Canary"])
def test_no_production_traffic_during_a_rollout_either(world: World, strategy: str) -> None:
    canary = {"canary": {"steps": [{"weight": 50, "pauseSeconds": 10}]}} if strategy == "Canary" else {}
    given = {"type": strategy, **canary}
    branch(world, {"version": "digits-2"}, strategy=given)
    world.run(60)
    world.upgrade("v3")
    seen: set[str] = set()

    def look() -> Any:
        made = world.look()
        seen.update(selected(world, MODEL))
        return made

    world.run(300, look)
    assert world.serving_tag == "v3"
    assert seen <= {"v1", "v3"}
    assert selected(world, "digits-try") == {"v2"}


def test_a_pod_that_dies_is_the_branchs_own_affair(world: World) -> None:
    world.base("digits-4", "v4", channel="Experimental")
    branch(world, {"version": "digits-4"})
    world.run(300)
    assert (told(world)["state"], told(world)["reason"]) == ("FAILED", "CrashLoop")
    said = world.conditions("Model", MODEL)
    assert (said["Ready"], said["BranchesReady"]) == (("True", "Serving"), ("False", "CrashLoop"))
    assert "failure" not in world.objects["ModelVersion", "digits-4"].get("status", {})


def test_a_version_that_is_missing_is_named_and_what_runs_stays(world: World) -> None:
    branch(world, {"version": "digits-9"})
    world.run(60)
    assert (told(world)["state"], told(world)["reason"]) == ("DISABLED", "VersionNotFound")
    assert ("Deployment", "digits-try") not in world.objects
    branch(world, {"version": "digits-2"})
    world.run(60)
    world.remove("ModelVersion", "digits-2")
    world.run(60)
    assert (told(world)["version"], told(world)["reason"]) == ("digits-2", "VersionNotFound")
    assert ("Deployment", "digits-try") in world.objects


def test_it_follows_the_staging_releases_of_an_objective(world: World) -> None:
    def releases(*numbers: tuple[int, str, str]) -> list[dict[str, Any]]:
        made = [{"number": n, "version": v, "environment": e} for n, v, e in numbers]
        return [{"name": "quality", "releases": made}]

    submitted = {"objectives": [{"name": "quality"}]}
    branch(world, {"objective": "quality"})
    world.run(60)
    assert (told(world)["state"], told(world)["reason"]) == ("DISABLED", "NotReleased")
    world.base(revision=1, **submitted)
    world.base("digits-2", "v2", channel="PreRelease", **submitted)
    first = (1, "digits-1", "Production")
    branch(world, {"objective": "quality"}, objectives=releases(first))
    world.run(60)
    assert selected(world, "digits-try") == {"v1"}
    branch(world, {"objective": "quality"}, objectives=releases(first, (2, "digits-2", "Staging")))
    world.run(60)
    template = world.objects["Deployment", "digits-try"]["spec"]["template"]
    assert template["metadata"]["labels"][views.VERSION_LABEL] == "digits-2"
    assert selected(world, MODEL) == {"v1"}


def test_a_version_of_its_name_comes_first(world: World) -> None:
    branch(world, {"version": "digits-2"})
    world.run(60)
    world.base("digits-try", "v5", revision=2)
    world.run(300)
    assert world.serving == "digits-try"
    assert (told(world)["state"], told(world)["reason"]) == ("DISABLED", "BranchNameTaken")
    assert ("Service", "digits-try") not in world.objects


def test_a_volume_for_one_pod_alone_is_left_to_production() -> None:
    world = World(claims={"weights": "ReadWriteOncePod"})
    claim = {"persistentVolumeClaim": {"claimName": "weights"}}
    artifact = {"volumes": [{"name": "weights", "mountPath": "/weights", **claim}]}
    world.model(serving={"replicas": 1})
    world.base(artifact=artifact, revision=1)
    world.base("digits-2", "v2", artifact=artifact, channel="PreRelease")
    world.run(120)
    branch(world, {"version": "digits-2"}, serving={"replicas": 1})
    world.run(60)
    assert (told(world)["state"], told(world)["reason"]) == ("DISABLED", "VolumeExclusive")
    assert ("Deployment", "digits-try") not in world.objects


def test_what_is_not_trained_does_not_run(world: World) -> None:
    world.base("digits-3", "v3", channel="Experimental", trainInfo={"job": {"image": "train:v1", "suspend": True}})
    branch(world, {"version": "digits-3"})
    for _ in range(20):
        world.look()
    assert (told(world)["state"], told(world)["reason"]) == ("DISABLED", "WorkflowRequireTrainedModel")


def test_a_refused_service_is_told(world: World) -> None:
    world.refusals["Service/digits-try"] = "NotOwned: Service digits-try is somebody else's"
    branch(world, {"version": "digits-2"})
    for _ in range(20):
        world.look()
    assert told(world)["reason"] == "BranchRefused"
    assert "somebody else's" in told(world)["message"]
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_a_digest_that_becomes_known_restarts_no_pod(world: World) -> None:
    branch(world, {"version": "digits-2"})
    world.run(60)
    before = world.objects["Deployment", "digits-try"]["spec"]["template"]
    world.model(branches=[{"name": "try", "version": "digits-2"}], serving={"version": "digits-2"})
    world.run(300)
    assert world.serving == "digits-2"
    assert world.objects["Deployment", "digits-try"]["spec"]["template"] == before


@pytest.mark.parametrize(
    ("ready", "replicas", "faulty", "state"),
    [
        (0, 0, False, "ACTIVE"),
        (2, 2, False, "ACTIVE"),
        (3, 2, True, "ACTIVE"),
        (1, 2, False, "DEGRADED"),
        (1, 2, True, "DEGRADED"),
        (0, 2, False, "STARTING"),
        (0, 2, True, "FAILED"),
    ],
)
def test_states(ready: int, replicas: int, faulty: bool, state: str) -> None:
    assert state_of(ready, replicas, faulty=faulty) == state


def test_the_states_of_a_model() -> None:
    world = World(images={"v1": "loading", "v4": "crash"})
    world.model()
    world.run(1)
    status = world.objects["Model", MODEL]["status"]
    assert (status["state"], status["isReady"]) == ("DISABLED", False)
    world.base()
    world.look()
    world.look()
    status = world.objects["Model", MODEL]["status"]
    assert (status["state"], status["isReady"]) == ("STARTING", False)
    world.images["v1"] = "ok"
    world.run(120)
    status = world.objects["Model", MODEL]["status"]
    assert (status["state"], status["isReady"]) == ("ACTIVE", True)
    world.model(serving={"replicas": 0})
    world.run(60)
    status = world.objects["Model", MODEL]["status"]
    assert (status["state"], status["isReady"]) == ("ACTIVE", False)
