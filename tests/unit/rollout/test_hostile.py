"""Inputs that nobody vouches for: adapters' last words, annotations, labels and objects made by hand."""

from __future__ import annotations

import json
from typing import Any

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
    made.run(5)
    made.writes.clear()
    return made


def last_words(world: World, message: str) -> None:
    """All pods that serve end with `message` and do not come back."""
    for (kind, _), pod in world.objects.items():
        if kind == "Pod" and pod["metadata"].get("deployment") == world.serving:
            ended = {"exitCode": 1, "reason": "Error", "message": message}
            status = {"name": "adapter", "ready": False, "restartCount": 3, "lastState": {"terminated": ended}}
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
            pod["status"]["containerStatuses"] = [status]
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    world.settle = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (json.dumps({"error": {"reason": "ImportFailed", "message": "cannot open \udcff.bin"}}), "ImportFailed"),
        ("[" * 4000, "CrashLoop"),
        ("\x00\x1b[31m" + "x" * 5000, "CrashLoop"),
        (json.dumps({"error": {"reason": "no module named x", "message": "m" * 9000}}), "AdapterFailed"),
        (json.dumps({"error": {"reason": "Queued", "message": ""}}), "AdapterFailed"),
        (json.dumps({"error": ["LoadFailed"]}), "CrashLoop"),
        ('{"error": NaN}', "CrashLoop"),
    ],
)
def test_no_last_words_keep_a_rollback_from_happening_once(world: World, message: str, reason: str) -> None:
    last_words(world, message)
    world.run(30)
    assert world.serving == "digits-1"
    assert len([w for w in world.writes if w[0] == "switch"]) == 1
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", reason)


@pytest.mark.parametrize(
    "decision",
    [
        "{",
        '{"to":"digits-1","time":"2026-11-22T12:00:00"}',
        '{"to":"digits-1","time":"9999-11-22T12:00:00Z"}',
        '{"to":"digits-1","time":"2026-11-22T12:00:00Z","message":"' + "m" * 40_000 + '"}',
        '{"to":"' + "d" * 300 + '","time":"2026-11-22T12:00:00Z"}',
    ],
)
def test_a_decision_written_by_hand_is_repaired_from_the_status(world: World, decision: str) -> None:
    serving = world.serving
    world.annotations("Service", MODEL)[views.DECISION] = decision
    world.run(5)
    assert world.serving == serving
    found = json.loads(world.annotations("Service", MODEL)[views.DECISION])
    assert found["reason"] == "Repaired"


def test_an_extra_port_on_the_service_is_its_owners(world: World) -> None:
    ports = world.objects["Service", MODEL]["spec"]["ports"]
    ports.append({"name": "metrics", "port": 9090, "targetPort": 9090, "protocol": "TCP"})
    world.run(30)
    assert ("switch", "Service", MODEL) not in world.writes


def test_a_refused_service_is_told_and_not_asked_for_in_a_loop(world: World) -> None:
    world.refusals[f"Service/{MODEL}"] = 'services "digits" is forbidden: exceeded quota: services.nodeports=0'
    world.dead.add(world.serving or "")
    made = world.turn()
    assert made.look_again
    world.run(30)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "QuotaExceeded")


def test_a_version_recreated_with_other_content_changes_nothing_that_serves(world: World) -> None:
    world.run(120)
    serving = world.serving or ""
    record = world.objects["ModelVersion", serving]
    image = world.objects["Deployment", serving]["spec"]["template"]["spec"]["containers"][0]["image"]
    record["spec"]["adapter"]["image"] = "registry.local/digits:v9"
    world.remove("AdapterUpgrade", "digits")
    world.run(30)
    assert world.objects["Deployment", serving]["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "VersionReplaced")


@pytest.mark.parametrize("spec", [{"version": "digist-1"}])
def test_a_typo_in_the_bake_moves_no_traffic(world: World, spec: dict[str, Any]) -> None:
    serving = world.serving
    world.model(serving=spec)
    world.run(10)
    assert world.serving == serving
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "VersionNotFound")


def test_pods_made_by_hand_neither_serve_nor_prove(world: World) -> None:
    world.run(120)
    world.images["v3"] = "unready"
    world.upgrade("v3")
    world.run(5)
    name = next(n for k, n in world.objects if k == "ModelVersion" and world.tag_of(n) == "v3")
    for index in range(2):
        labels = {views.MODEL_LABEL: MODEL, views.VERSION_LABEL: name, views.ROLE_LABEL: "serving"}
        meta = {"name": f"mine-{index}", "namespace": "team", "labels": labels}
        status = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.9.9.9"}
        world._store({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": status})
    world.run(10)
    assert world.serving_tag == "v2"


def test_a_version_with_a_foreign_owner_is_not_pruned(world: World) -> None:
    world.model(versionHistoryLimit=0)
    world.base("digits-train", "v1", parentVersion="digits-1", revision=0)
    world.objects["ModelVersion", "digits-train"]["metadata"]["ownerReferences"] = [
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "train", "uid": "uid-1", "controller": True}
    ]
    world.run(200)
    assert ("delete", "ModelVersion", "digits-train") not in world.writes


def test_a_serving_volume_over_an_artifact_is_refused(world: World) -> None:
    volume = {"name": "cache", "mountPath": "/weights/model.bin", "emptyDir": {}}
    before = world.objects["Deployment", world.serving or ""]["spec"]
    world.model(serving={"volumes": [volume]})
    world.run(10)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "MountPathTaken")
    assert world.objects["Deployment", world.serving or ""]["spec"] == before


def test_a_refused_change_of_serving_is_told(world: World) -> None:
    world.run(120)
    world.refusals[f"Deployment/{world.serving}"] = "Deployment is invalid: mountPath must be unique"
    world.model(serving={"env": [{"name": "A", "value": "b"}]})
    world.run(10)
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "DeploymentRefused")


def test_a_dead_bake_without_automatic_rollback_is_told() -> None:
    world = World()
    world.model(rollback={"automatic": False})
    world.base()
    world.run(120)
    world.upgrade("v2")
    world.run(5)
    serving = world.serving
    world.dead.add(serving or "")
    world.run(60)
    assert world.serving == serving
    assert world.conditions("Model", MODEL)["Stalled"] == ("True", "NoReadyPods")


def test_failed_content_is_not_tried_again_because_the_order_changed_its_form(world: World) -> None:
    failed = world.serving or ""
    world.dead.add(failed)
    world.run(5)
    assert world.serving == "digits-1"
    world.dead.clear()
    world.writes.clear()
    world.model(serving={"version": failed})
    world.run(60)
    assert world.serving == "digits-1"
    assert not [w for w in world.writes if w[0] == "switch"]
