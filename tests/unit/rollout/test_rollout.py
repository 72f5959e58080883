"""State in, state out: what a Model serves and says after users, faults and time did their part."""

from __future__ import annotations

import re

import pytest

from .world import MODEL, World


@pytest.fixture
def world() -> World:
    """v1 serves, its bake is over, nothing is left to do."""
    made = World(images={"v4": "crash", "v5": "class:Other", "v9": "missing", "v8": "registry"})
    made.model()
    made.base()
    made.run(120)
    assert made.serving == "digits-1"
    made.writes.clear()
    return made


def test_the_first_version_serves_without_a_way_back(world: World) -> None:
    said = world.conditions("Model", MODEL)
    assert said["Ready"] == ("True", "Serving")
    assert said["RollbackReady"] == ("False", "RollbackTargetMissing")
    assert world.conditions("ModelVersion", "digits-1")["Serving"] == ("True", "Selected")


def test_an_idle_look_writes_nothing(world: World) -> None:
    world.run(3600)
    assert world.writes == []


def test_an_upgrade_serves_and_keeps_the_old_version_warm(world: World) -> None:
    world.upgrade("v2")
    world.run(30)
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Baking")
    assert world.conditions("Model", MODEL)["RollbackReady"][0] == "True"
    world.run(60)
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("True", "UpgradeSucceeded")
    assert said["ArtifactsUnchanged"] == ("True", "DigestsEqual")
    assert world.objects["Deployment", "digits-1"]["spec"]["replicas"] == 1
    world.run(700)
    assert ("Deployment", "digits-1") not in world.objects
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_with_the_image_by_digest_its_pods_are_asked_for_before_anything_is_told(world: World) -> None:
    world.upgrade(f"v2@sha256:{'0' * 64}")
    world.run(1)
    kinds = [f"{verb} {kind}" for verb, kind, *_ in world.writes]
    assert kinds[:2] == ["apply ModelVersion", "apply Deployment"]
    assert "apply Pod" in kinds


def test_an_upgrade_costs_at_most_fourteen_writes_and_five_events(world: World) -> None:
    world.events.clear()
    world.upgrade("v2")
    world.run(90)
    counted = [w for w in world.writes if w[1] != "EndpointSlice"]
    assert len(counted) <= 14, counted
    assert len(world.events) <= 5


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("v4", "CrashLoop"), ("v5", "ClassMismatch"), ("v9", "ImageNotFound")],
)
def test_bad_content_is_refused_before_traffic_moves(world: World, tag: str, reason: str) -> None:
    world.upgrade("v2")
    world.run(90)
    world.upgrade(tag)
    world.run(60)
    assert world.serving_tag == "v2"
    assert ("switch", "Service", MODEL) not in world.writes[-15:]
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", reason)
    assert said["Stalled"] == ("True", reason)
    assert said["RolledBack"] == ("True", reason)
    assert len([k for k in world.objects if k[0] == "Deployment"]) <= 2
    world.writes.clear()
    world.remove("AdapterUpgrade", "digits")
    world.run(5)
    world.upgrade(tag)
    world.run(60)
    assert [w for w in world.writes if w[1] in ("Pod", "Deployment", "Service")] == []
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", reason)


def test_another_repository_is_refused(world: World) -> None:
    world.upgrade("registry.local/other:v2")
    world.run(30)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "AdapterRepositoryChanged")
    assert world.serving == "digits-1"
    assert not [k for k in world.objects if k[0] == "Pod" and "preflight" in k[1]]


def test_changed_artifacts_are_refused(world: World) -> None:
    world.artifact = "sha256:" + "b" * 64
    world.upgrade("v2")
    world.run(30)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "ArtifactsChanged")
    assert world.serving == "digits-1"


CLAIM = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}


def on_a_claim() -> World:
    """A Model whose artifacts lie on a volume that somebody could write to."""
    made = World()
    made.model()
    made.base(artifact={"volumes": [CLAIM]})
    made.run(120)
    made.upgrade("v2")
    made.run(30)
    made.writes.clear()
    return made


def test_artifacts_that_can_change_are_read_again_before_the_bake_counts() -> None:
    world = on_a_claim()
    world.run(60)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")
    rechecks = [w for w in world.writes if w[2].endswith("-recheck")]
    assert [verb for verb, _, _ in rechecks] == ["apply", "delete"]


def test_artifacts_changed_during_the_bake_roll_back() -> None:
    world = on_a_claim()
    world.artifact = "sha256:" + "b" * 64
    world.run(60)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "ArtifactsChanged")
    assert not [name for kind, name in world.objects if kind == "Pod" and name.endswith("-recheck")]


def test_death_in_the_bake_goes_back_at_once(world: World) -> None:
    world.upgrade("v2")
    world.run(10)
    candidate = world.serving
    assert candidate
    world.dead.add(candidate)
    world.run(1)
    assert world.serving == "digits-1"
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", "NoReadyPods")
    assert ("Deployment", candidate) not in world.objects
    world.writes.clear()
    world.run(3600)
    assert world.writes == []


def test_what_dies_while_no_operator_runs_keeps_the_record_of_its_verification(world: World) -> None:
    world.run()
    before = world.serving
    world.upgrade("v2")
    while world.serving == before:
        world.look()
    bad = world.serving
    world.dead.add(str(bad))
    world.run(30)
    assert world.serving == before
    status = world.objects["ModelVersion", str(bad)]["status"]
    assert status["failure"]["reason"] == "NoReadyPods"
    assert status["artifact"]["digest"] == world.artifact
    assert status["adapter"]["className"] == "DigitsAdapter"
    assert world.conditions("ModelVersion", str(bad))["ArtifactVerified"] == ("True", "DigestComputed")


def test_death_after_the_bake_goes_back_while_the_standby_is_warm(world: World) -> None:
    world.upgrade("v2")
    world.run(200)
    candidate = world.serving
    assert candidate
    world.dead.add(candidate)
    world.run(1)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["RolledBack"][0] == "True"
    newest = world.objects["Model", MODEL]["status"]["history"][0]
    assert (newest["version"], newest["outcome"], newest["reason"]) == (candidate, "RolledBack", "NoReadyPods")


def test_a_reverted_tag_returns_to_the_warm_version_without_a_preflight(world: World) -> None:
    world.model(rollback={"standbyReplicas": 2})
    world.upgrade("v2")
    world.run(90)
    world.writes.clear()
    world.upgrade("v1")
    world.run(1)
    assert world.serving == "digits-1"
    assert world.writes[0] == ("switch", "Service", MODEL) or world.writes[0][1] == "EndpointSlice"
    assert not [w for w in world.writes if w[1] == "Pod"]


def test_a_small_standby_grows_before_it_takes_the_load_of_healthy_pods(world: World) -> None:
    world.model(serving={"replicas": 3})
    world.upgrade("v2")
    world.run(90)
    world.writes.clear()
    world.upgrade("v1")
    world.run(1)
    assert world.serving == "digits-1"
    grown = world.writes.index(("apply", "Deployment", "digits-1"))
    assert grown < world.writes.index(("switch", "Service", MODEL))
    assert not [w for w in world.writes if w[1] == "Pod"]


def test_a_pod_that_still_loads_in_the_bake_is_not_sick(world: World) -> None:
    world.upgrade("v2")
    world.run(5)
    candidate = world.serving
    world.images["v2"] = "loading"
    world.model(serving={"replicas": 3})
    world.run(40)
    assert world.serving == candidate


def test_the_operators_own_image_is_no_fault_of_the_version(world: World) -> None:
    world.own_image = "missing"
    world.upgrade("v2")
    world.run(60)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "OperatorImageUnavailable")


def test_an_edit_in_the_bake_starts_again_from_the_stable_version(world: World) -> None:
    world.upgrade("v2")
    world.run(10)
    world.upgrade("v3")
    world.run(0)
    assert world.serving_tag == "v1" or world.serving_tag == "v3"
    served = [w for w in world.writes if w[0] == "switch"]
    world.run(90)
    assert world.serving_tag == "v3"
    assert len(served) >= 2
    assert world.objects["Model", MODEL]["status"]["previousVersion"] == "digits-1"


def test_the_registry_being_down_waits_and_goes_on(world: World) -> None:
    world.upgrade("v8")
    world.run(100)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "RegistryUnavailable")
    assert world.serving == "digits-1"
    world.images["v8"] = "ok"
    world.run(90)
    assert world.serving_tag == "v8"


def test_an_environment_that_stays_broken_backs_off_and_recovers(world: World) -> None:
    world.upgrade("v8")
    world.run(650)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "EnvironmentNotReady")
    name = world.objects["AdapterUpgrade", "digits"]["status"]["toVersion"]
    assert "failure" not in world.objects["ModelVersion", name].get("status", {})
    world.images["v8"] = "ok"
    world.run(200)
    assert world.serving_tag == "v8"


def test_quota_is_told_and_waited_for(world: World) -> None:
    world.upgrade("v2")
    world.turn()
    name = next(n for k, n in world.objects if k == "ModelVersion" and n != "digits-1")
    world.refusals[f"Pod/{name}-preflight"] = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1'
    world.run(30)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "QuotaExceeded")
    world.refusals.clear()
    world.run(90)
    assert world.serving_tag == "v2"


def test_a_broken_environment_says_what_serves_and_when_it_is_tried_again(world: World) -> None:
    def said() -> str:
        conditions = world.objects["AdapterUpgrade", "digits"]["status"]["conditions"]
        return str(next(c["message"] for c in conditions if c["type"] == "Ready"))

    world.upgrade("v8")
    world.run(605)
    assert re.search(r"RegistryUnavailable: .*; tried again at \S+Z, or at once by another ", said())
    assert said().endswith("; digits-1 serves")
    world.images["v8"], world.room = "ok", 2
    world.run(90)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "EnvironmentNotReady")
    assert re.search(r"RegistryUnavailable: .*; try 2 runs, now: Unschedulable: .*; digits-1 serves$", said()), said()


def test_a_pin_goes_back_and_suspends_the_upgrade(world: World) -> None:
    world.upgrade("v2")
    world.run(90)
    world.model(serving={"version": "digits-1"})
    world.run(1)
    assert world.serving == "digits-1"
    assert world.conditions("AdapterUpgrade", "digits")["Suspended"] == ("True", "Pinned")
    world.model()
    world.run(1)
    assert world.serving_tag == "v2"


def test_a_forgotten_pin_says_what_waits_behind_it(world: World) -> None:
    world.model(serving={"version": "digits-1"})
    world.run(1)
    assert "Pinned" not in world.conditions("Model", MODEL), "nothing waits"
    world.base("digits-2")
    world.run(5)
    assert world.serving == "digits-1"
    said = next(c for c in world.objects["Model", MODEL]["status"]["conditions"] if c["type"] == "Pinned")
    assert said["message"] == "spec.serving.version pins digits-1; the base digits-2 waits until it is taken out"
    world.model()
    world.run(5)
    assert "Pinned" not in world.conditions("Model", MODEL)


def test_a_selector_edited_by_hand_is_repaired(world: World) -> None:
    world.objects["Service", MODEL]["spec"]["selector"] = {"app": "else"}
    world.run(0)
    assert world.serving == "digits-1"


def test_a_deleted_service_comes_back_to_the_serving_version(world: World) -> None:
    world.upgrade("v2")
    world.run(90)
    serving = world.serving
    world.remove("Service", MODEL)
    world.run(1)
    assert world.serving == serving


def test_the_governing_upgrade_deleted_changes_nothing_that_serves(world: World) -> None:
    world.upgrade("v2")
    world.run(90)
    serving = world.serving
    world.remove("AdapterUpgrade", "digits")
    world.run(1000)
    assert world.serving == serving
    assert world.conditions("Model", MODEL)["Ungoverned"] == ("True", "UpgradeDeleted")


def test_scaling_to_zero_and_back_is_no_rollback(world: World) -> None:
    world.upgrade("v2")
    world.run(90)
    serving = world.serving
    world.model(serving={"replicas": 0})
    world.run(5)
    world.model(serving={"replicas": 3})
    world.run(5)
    assert world.serving == serving
    assert world.objects["Model", MODEL]["status"]["replicas"] == 3


def test_a_service_of_somebody_else_is_left_alone() -> None:
    world = World()
    world.refusals[f"Service/{MODEL}"] = "NotOwned: Service digits exists and is not Topgraft's; rename or delete it"
    world.model()
    world.base()
    world.run(30)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "ServiceNotOwned")
    assert world.serving is None
