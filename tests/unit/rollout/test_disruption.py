"""What the cluster does to pods (drains, evictions, nodes that come late) is never held against the version."""

from typing import Any

import pytest

from tests.unit.rollout.world import MODEL, World, rfc3339

OLD, NEW = "v1", "v2"


@pytest.fixture
def alone() -> World:
    """One replica, as the API's default has it: the loss of one pod is the loss of all."""
    world = World()
    world.model(serving={"replicas": 1})
    world.base()
    world.run(120)
    world.upgrade(NEW)
    return world


def _serving_pod(world: World) -> tuple[str, dict[str, Any]]:
    version = world.serving
    return next(
        (name, body)
        for (kind, name), body in world.objects.items()
        if kind == "Pod" and body["metadata"].get("deployment") == version
    )


def _evict(world: World) -> None:
    """As the eviction API does it: the pod says why and terminates, its ReplicaSet makes another that loads."""
    name, pod = _serving_pod(world)
    pod["metadata"]["deletionTimestamp"] = rfc3339(world.now)
    told = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "a drain"}
    pod["status"]["conditions"].append({**told, "lastTransitionTime": rfc3339(world.now)})
    world.look()
    world.turn()
    world.remove("Pod", name)


@pytest.mark.parametrize("seconds", [20, 300], ids=["in the bake", "after the bake"])
def test_an_eviction_moves_the_traffic_and_blames_nobody(alone: World, seconds: int) -> None:
    alone.run(seconds)
    candidate = alone.serving
    assert alone.serving_tag == NEW
    _evict(alone)
    assert alone.serving_tag == OLD
    told = [e.message for e in alone.events if e.reason == "RolledBack"]
    assert "PodsDisrupted" in told[-1]
    assert "EvictionByEvictionAPI: a drain" in told[-1]
    alone.run(300)
    assert alone.serving == candidate, "it came back by itself"
    assert "failure" not in alone.objects["ModelVersion", str(candidate)]["status"]
    assert alone.conditions("AdapterUpgrade", MODEL)["Ready"] == ("True", "UpgradeSucceeded")


def test_pods_deleted_by_force_blame_nobody(alone: World) -> None:
    alone.run(300)
    candidate, (name, _) = alone.serving, _serving_pod(alone)
    alone.remove("Pod", name)
    alone.turn()
    alone.run(300)
    assert alone.serving == candidate
    assert "failure" not in alone.objects["ModelVersion", str(candidate)]["status"]


def test_a_node_that_comes_late_leaves_the_time_to_load() -> None:
    world = World(images={NEW: "loading"})
    world.model()
    world.base()
    world.run(120)
    world.room = 2
    world.upgrade(NEW)
    world.run(570)
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("Unknown", "Unschedulable")
    world.room = None
    world.run(200)
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"][0] == "Unknown", "startupSeconds (300) are not over"
    world.images[NEW] = "ok"
    world.run(100)
    assert world.conditions("AdapterUpgrade", MODEL)["Ready"] == ("True", "UpgradeSucceeded")


def test_a_first_version_may_load_for_longer_than_the_deadline() -> None:
    world = World(images={OLD: "loading"})
    world.model(serving={"probes": {"startupSeconds": 900}})
    world.base()
    world.run(850)
    assert world.conditions("Model", MODEL)["Ready"][0] == "Unknown"
    world.run(120)
    said = world.objects["Model", MODEL]["status"]["conditions"]
    ready = next(c for c in said if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NotReady")
    assert "startupSeconds (900 s)" in ready["message"]


def test_probes_are_as_patient_as_the_model_says() -> None:
    world = World()
    world.model(serving={"probes": {"timeoutSeconds": 5, "failureThreshold": 10}})
    world.base()
    world.run(60)
    deployment = world.objects["Deployment", f"{MODEL}-1"]
    (adapter,) = deployment["spec"]["template"]["spec"]["containers"]
    probe = adapter["readinessProbe"]
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == (1, 5, 10)
