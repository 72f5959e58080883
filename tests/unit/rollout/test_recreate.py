"""No second copy: by choice, by a volume that one pod alone may mount, or because no node has room for one."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from topgraft.rollout import views

from .world import MODEL, World

CLAIM = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}
QUICK = {"failFastSeconds": 20, "progressDeadlineSeconds": 300}


def chosen() -> World:
    world = World(images={"v4": "crash", "v5": "class:Other", "v6": "loading-for-ever"})
    world.model(strategy={"type": "Recreate", **QUICK})
    world.base()
    return world


def exclusive() -> World:
    """The spec says nothing; the claim does."""
    world = World(images={"v4": "crash", "v5": "class:Other"}, claims={"weights": "ReadWriteOncePod"})
    world.model(serving={"replicas": 1})
    world.base(artifact={"volumes": [CLAIM]})
    return world


def full() -> World:
    """BlueGreen, and no node has room for a second copy."""
    world = World(images={"v4": "crash", "v5": "class:Other"}, room=2)
    world.model(strategy={"whenUnschedulable": "Recreate", **QUICK})
    world.base()
    return world


WORLDS = pytest.mark.parametrize("make", [chosen, exclusive, full])


def started(make: object) -> World:
    world: World = make()  # type: ignore[operator]
    world.run(120)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    world.writes.clear()
    world.events.clear()
    return world


def most_at_once(world: World, seconds: float) -> tuple[int, set[str]]:
    """The largest number of versions with placed pods at any time, and the reasons that Available gave."""
    most, said = 0, set()

    def look() -> object:
        nonlocal most
        made = world.look()
        placed = [p for p in world._serving_pods() if p["spec"].get("nodeName")]
        most = max(most, len({p["metadata"]["labels"][views.VERSION_LABEL] for p in placed}))
        said.add(world.conditions("Model", MODEL)["Available"][1])
        return made

    world.run(seconds, look)  # type: ignore[arg-type]
    return most, said


@WORLDS
def test_it_succeeds_without_a_second_copy_and_says_that_nothing_answers(make: object) -> None:
    world = started(make)
    world.upgrade("v2")
    most, said = most_at_once(world, 120)
    assert most == 1
    assert "Recreating" in said
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    assert world.conditions("Model", MODEL)["RollbackReady"] == ("False", "StandbyGone")
    assert ("Warning", "Recreating") in [(event.type, event.reason) for event in world.events]
    assert ("Deployment", "digits-1") not in world.objects


@WORLDS
def test_a_crash_brings_the_old_version_back(make: object) -> None:
    world = started(make)
    world.upgrade("v4")
    most, _ = most_at_once(world, 200)
    assert most == 1
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Available"] == ("True", "PodsReady")
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "CrashLoop")
    assert world.objects["Model", MODEL]["status"]["lastRollback"]["reason"] == "CrashLoop"
    world.writes.clear()
    world.run(4000)
    assert world.writes == []


@WORLDS
def test_what_the_preflight_refuses_stops_nothing(make: object) -> None:
    world = started(make)
    world.upgrade("v5")
    _, said = most_at_once(world, 60)
    assert said == {"PodsReady"}
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "ClassMismatch")
    assert not [w for w in world.writes if w[:2] == ("switch", "Service")]


@WORLDS
def test_death_in_the_bake_starts_the_old_version_again(make: object) -> None:
    world = started(make)
    world.upgrade("v2")
    world.run(40)
    candidate = world.serving
    assert candidate != "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Baking")
    world.dead.add(candidate or "")
    most, said = most_at_once(world, 60)
    assert most == 1
    assert "Recreating" in said
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Available"] == ("True", "PodsReady")
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "NoReadyPods")


def test_the_preflight_of_an_exclusive_volume_leaves_it_alone() -> None:
    world = World(claims={"weights": "ReadWriteOncePod"})
    world.model(serving={"replicas": 1})
    world.base(artifact={"volumes": [CLAIM]})
    world.turn()
    spec = world.objects["Pod", "digits-1-preflight"]["spec"]
    assert {"name": "artifact-weights", "emptyDir": {}} in spec["volumes"]
    assert [container["name"] for container in spec["containers"]] == ["inspect"]
    mounts = spec["containers"][0]["volumeMounts"]
    assert {"name": "artifact-weights", "mountPath": "/weights", "readOnly": True} in mounts, "inspect asks for it"


def test_changed_artifacts_of_an_exclusive_volume_are_found_before_the_switch() -> None:
    world = started(exclusive)
    world.artifact = "sha256:" + "b" * 64
    world.upgrade("v2")
    world.run(120)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "ArtifactsChanged")
    switches = [w for w in world.writes if w[0] == "switch"]
    assert len(switches) == 2, "stopped, and started again"


def test_a_candidate_that_never_becomes_ready_is_given_up_at_the_deadline() -> None:
    world = started(chosen)
    world.upgrade("v6")
    world.run(250)
    assert world.conditions("Model", MODEL)["Available"] == ("False", "Recreating")
    world.run(200)
    assert world.conditions("Model", MODEL)["Available"] == ("True", "PodsReady")
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "NotReady")


def test_what_serves_is_not_stopped_twice_for_an_attempt_that_the_cluster_has_no_room_for() -> None:
    world = started(full)
    world.upgrade("v2")
    while "Recreating" not in [event.reason for event in world.events]:
        world.look()
        world.now += timedelta(seconds=1)
    world.room = 0
    for pod in world._serving_pods():
        world.remove("Pod", pod["metadata"]["name"])
    world.run(400)
    world.room = 2
    world.run(60)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Available"] == ("True", "PodsReady")
    world.writes.clear()
    world.run(4000)
    assert world.writes == []


@WORLDS
@pytest.mark.parametrize("after", [1, 10, 22, 40])
def test_an_edit_in_the_middle_ends_with_the_newest_version(make: object, after: int) -> None:
    world = started(make)
    world.upgrade("v2")
    world.run(after)
    world.upgrade("v3")
    most, _ = most_at_once(world, 200)
    assert most == 1
    assert world.serving_tag == "v3"
    failures = [b["status"].get("failure") for (k, _), b in world.objects.items() if k == "ModelVersion"]
    assert failures == [None] * len(failures)


@WORLDS
@pytest.mark.parametrize("tag", ["v2", "v4"])
def test_killed_after_any_write_the_end_is_the_same(make: object, tag: str) -> None:
    begun = started(make)
    begun.upgrade(tag)
    for calm, world in begun.killed(100, lambda writes: range(0, writes, 4)):
        assert world.serving_tag == calm.serving_tag


def test_a_typo_while_nothing_answers_starts_the_old_version_again() -> None:
    world = started(chosen)
    world.upgrade("v6")
    world.run(30)
    assert world.conditions("Model", MODEL)["Available"] == ("False", "Recreating")
    world.model(strategy={"type": "Recreate", **QUICK}, serving={"version": "digist-1"})
    world.run(5)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Available"] == ("True", "PodsReady")
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "VersionNotFound")


def test_the_template_of_an_exclusive_version_does_not_follow_the_operators_image() -> None:
    world = started(exclusive)
    template = json.dumps(world.objects["Deployment", "digits-1"]["spec"]["template"])
    assert "topgraft:test" in template
    world.own_tag = "topgraft:next"
    world.model(serving={"replicas": 1, "env": [{"name": "A", "value": "b"}]})
    world.run(10)
    assert "topgraft:next" not in json.dumps(world.objects["Deployment", "digits-1"]["spec"])
    assert world.objects["Deployment", "digits-1"]["spec"]["strategy"] == {"type": "Recreate"}
