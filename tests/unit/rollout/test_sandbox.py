"""The sandbox: a version started aside, tested once, gone after its time, and never near the traffic."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.rollout import views

from .world import MODEL, Crash, World

POD, TEST, POLICY = "digits-0-sandbox", "digits-0-sandbox-test", "digits-sandbox"
BOX: dict[str, Any] = {"version": "digits-0", "ttlSeconds": 600}


def started(**spec: Any) -> World:
    """digits-1 serves; digits-0 is an old version that never did."""
    world = World(suites={})
    world.base("digits-0", tag="v0", channel="Experimental", testTag="v0_testenv")
    world.model()
    world.base()
    world.run(100)
    world.writes.clear()
    world.events.clear()
    world.model(sandbox=BOX, **spec)
    return world


def said(world: World, kind: str = "SandboxReady") -> tuple[str, str] | None:
    return world.conditions("Model", MODEL).get(kind)


def status(world: World) -> dict[str, Any]:
    return dict(world.objects["Model", MODEL]["status"].get("sandbox", {}))


def pods(world: World) -> set[str]:
    return {
        name
        for (kind, name), body in world.objects.items()
        if kind == "Pod" and body["metadata"]["labels"].get(views.ROLE_LABEL) == "sandbox"
    }


def test_an_old_version_runs_aside_and_gets_no_traffic() -> None:
    world = started()
    world.run(10)
    assert said(world) == ("True", "SandboxRunning")
    assert world.serving == "digits-1"
    assert ("switch", "Service", MODEL) not in world.writes
    pod = world.objects["Pod", POD]
    selector = world.objects["Service", MODEL]["spec"]["selector"]
    assert not selector.items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert container["image"].startswith("registry.local/digits:v0")
    assert container["command"] == ["topgraft-adapter"]
    assert {"name": "artifact-weights", "mountPath": "/weights", "readOnly": True} in container["volumeMounts"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["restartPolicy"] == "Always"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")


def test_it_is_isolated_before_it_exists() -> None:
    world = started()
    world.run(10)
    made = [(kind, name) for verb, kind, name in world.writes if verb == "apply"]
    assert made == [("NetworkPolicy", POLICY), ("Pod", POD)]
    spec = world.objects["NetworkPolicy", POLICY]["spec"]
    among = {"podSelector": {"matchLabels": {"topgraft.dev/model": MODEL, "topgraft.dev/role": "sandbox"}}}
    assert spec["podSelector"] == among["podSelector"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [among]}]
    assert spec["egress"][0] == {"to": [among]}
    dns = spec["egress"][1]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert [to["podSelector"]["matchLabels"] for to in dns["to"]] == [{"k8s-app": "kube-dns"}], "to nobody else"
    assert all(to["namespaceSelector"]["matchLabels"] for to in dns["to"])


def test_without_its_policy_it_does_not_start() -> None:
    world = started()
    world.refusals[f"NetworkPolicy/{POLICY}"] = 'networkpolicies is forbidden: cannot create resource "networkpolicies"'
    world.run(60)
    assert pods(world) == set()
    assert said(world) == ("False", "WriteRefused")
    world.refusals.clear()
    world.run(10)
    assert said(world) == ("True", "SandboxRunning")


def test_its_time_ends_it_and_nothing_starts_it_again() -> None:
    world = started()
    world.run(599)
    assert pods(world) == {POD}
    world.run(2)
    assert pods(world) == set()
    assert said(world) == ("False", "SandboxExpired")
    assert [e.reason for e in world.events] == ["SandboxExpired"]
    assert "pod" not in status(world)
    world.writes.clear()
    world.run(7200)
    assert world.writes == []
    world.model(sandbox={**BOX, "ttlSeconds": 10000})
    world.run(10)
    assert pods(world) == {POD}
    world.model()
    world.run(10)
    assert pods(world) == set()
    assert status(world) == {}
    assert said(world) is None


def test_the_tests_run_in_its_image_with_its_tag_and_once() -> None:
    world = started(verification={"testSuite": {"command": ["pytest", "/test_suite"]}})
    world.run(2)
    pod = world.objects["Pod", TEST]
    assert pod["metadata"]["labels"]["validation"] == "Vv0_validation"
    assert pod["metadata"]["labels"]["topgraft.dev/test-tag"] == "v0_testenv"
    (container,) = pod["spec"]["containers"]
    assert container["image"].startswith("registry.local/digits:v0")
    assert container["command"] == ["pytest", "/test_suite"]
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["DATASET_VERSION"] == "v0"
    assert environment["TOPGRAFT_TEST_TAG"] == "v0_testenv"
    assert environment["TOPGRAFT_SANDBOX_URL"] == "http://10.9.9.9:8080"
    world.run(20)
    assert status(world)["tests"]["verdict"] == "Passed"
    assert said(world, "SandboxTested") == ("True", "TestsPassed")
    assert [e.reason for e in world.events if e.message.startswith("sandbox of")] == ["TestsPassed"]
    world.remove("Pod", TEST)
    world.run(500)
    assert TEST not in pods(world), "the verdict is on record"
    world.run(700)
    assert said(world, "SandboxTested") == ("True", "TestsPassed")
    assert said(world) == ("False", "SandboxExpired")


def test_failed_tests_are_told_with_their_last_words_and_touch_nothing() -> None:
    world = started()
    world.suites["v0"] = 1
    world.model(sandbox={**BOX, "testSuite": {"command": ["run"]}})
    world.run(30)
    assert status(world)["tests"]["verdict"] == "Failed"
    assert "1 failed" in status(world)["tests"]["message"]
    assert said(world, "SandboxTested") == ("False", "TestsFailed")
    assert [(e.type, e.reason) for e in world.events] == [("Warning", "TestsFailed")]
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    assert "failure" not in world.objects["ModelVersion", "digits-0"].get("status", {})


def test_another_version_takes_its_place_and_begins_its_own_time() -> None:
    world = started()
    world.run(500)
    world.model(sandbox={"version": "digits-1", "ttlSeconds": 600})
    world.run(500)
    assert pods(world) == {"digits-1-sandbox"}
    assert len([k for k in world.objects if k[0] == "Deployment"]) == 1
    world.run(200)
    assert pods(world) == set()
    assert world.serving == "digits-1"


def test_a_version_that_is_not_there_is_waited_for() -> None:
    world = started()
    world.model(sandbox={"version": "digits-9", "ttlSeconds": 600})
    world.run(1000)
    assert said(world) == ("False", "VersionNotFound")
    world.base("digits-9", tag="v9", channel="Experimental")
    world.run(500)
    assert pods(world) == {"digits-9-sandbox"}, "its time begins when it does"
    world.remove("ModelVersion", "digits-9")
    world.run(10)
    assert pods(world) == set()


def test_a_version_created_anew_with_other_content_is_started_anew() -> None:
    world = started()
    world.run(10)
    uid = world.objects["Pod", POD]["metadata"]["uid"]
    world.remove("ModelVersion", "digits-0")
    world.base("digits-0", tag="v8", channel="Experimental")
    world.run(10)
    assert world.objects["Pod", POD]["metadata"]["uid"] != uid
    assert world.objects["Pod", POD]["spec"]["containers"][0]["image"].startswith("registry.local/digits:v8")


@pytest.mark.parametrize(("behaviour", "reason"), [("crash", "CrashLoopBackOff"), ("missing", "ImagePullBackOff")])
def test_what_keeps_it_from_running_is_told(behaviour: str, reason: str) -> None:
    world = started()
    world.images["v0"] = behaviour
    world.run(60)
    told = said(world)
    assert told is not None
    assert told[0] == "False"
    assert world.conditions("Model", MODEL)["Ready"] == ("True", "Serving")
    world.run(700)
    assert said(world) == ("False", "SandboxExpired")


def test_an_evicted_pod_is_made_anew_after_a_pause() -> None:
    world = started()
    world.run(10)
    world.objects["Pod", POD]["status"] = {"phase": "Failed", "reason": "Evicted"}
    uid = world.objects["Pod", POD]["metadata"]["uid"]
    world.run(5)
    assert world.objects["Pod", POD]["metadata"]["uid"] == uid
    world.run(120)
    assert world.objects["Pod", POD]["metadata"]["uid"] != uid
    assert said(world) == ("True", "SandboxRunning")


def test_a_volume_for_one_pod_alone_is_told() -> None:
    world = World()
    claim = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}
    world.claims["weights"] = "ReadWriteOncePod"
    world.model(serving={"replicas": 1}, sandbox=BOX)
    world.base(artifact={"volumes": [claim]})
    world.base("digits-0", tag="v0", channel="Experimental", artifact={"volumes": [claim]})
    world.run(100)
    assert said(world) == ("False", "VolumeExclusive")
    assert pods(world) == set()
    assert world.serving == "digits-1"


@pytest.mark.parametrize("after", range(6))
def test_a_kill_between_any_two_writes_changes_nothing(after: int) -> None:
    world = started(verification={"testSuite": {}})
    world.crash_at = after
    try:
        world.run(30)
    except Crash:
        world.crash_at = None
    world.crash_at = None
    world.run(30)
    assert said(world) == ("True", "SandboxRunning")
    assert status(world)["tests"]["verdict"] == "Passed"
    assert len([w for w in world.writes if w == ("apply", "Pod", POD)]) == 1
    assert len([w for w in world.writes if w == ("apply", "Pod", TEST)]) == 1


def test_a_version_in_the_sandbox_is_not_pruned() -> None:
    world = World()
    world.model(versionHistoryLimit=0)
    world.base()
    world.run(100)
    world.upgrade("v2")
    world.run(100)
    second = world.serving or ""
    world.model(versionHistoryLimit=0, sandbox={"version": second, "ttlSeconds": 600})
    for tag in ("v3", "v5", "v6"):
        world.upgrade(tag)
        world.run(1000)
    assert ("ModelVersion", second) in world.objects
    world.model(versionHistoryLimit=0)
    world.run(1000)
    assert ("ModelVersion", second) not in world.objects


def test_an_idle_sandbox_writes_nothing() -> None:
    world = started(verification={"testSuite": {}})
    world.run(30)
    world.writes.clear()
    world.run(500)
    assert world.writes == []


def test_containers_beside_the_adapter_come_along() -> None:
    world = started()
    image = "registry.local/runtime@sha256:" + "e" * 64
    volume = {"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}
    artifact = {"volumes": [volume], "containers": [{"name": "runtime", "image": image, "ports": [9000]}]}
    world.base("digits-3", tag="v3", channel="Experimental", artifact=artifact)
    world.model(sandbox={"version": "digits-3"})
    world.run(10)
    (beside,) = world.objects["Pod", "digits-3-sandbox"]["spec"]["initContainers"]
    assert (beside["name"], beside["image"], beside["restartPolicy"]) == ("runtime", image, "Always")


def test_an_untrained_version_waits_and_its_time_begins_when_it_is_trained() -> None:
    world = started()
    job = {"image": "registry.local/train:v1", "command": ["train"], "suspend": True}
    world.base("digits-4", tag="v4", channel="Experimental", trainInfo={"job": job})
    world.model(sandbox={"version": "digits-4", "ttlSeconds": 60})
    world.run(600)
    assert pods(world) == set()
    assert said(world) == ("False", "WorkflowRequireTrainedModel")
    assert "startTime" not in status(world)


@pytest.mark.parametrize("how", ["deleted", "opened"])
def test_a_policy_that_is_lost_is_written_again_and_told(how: str) -> None:
    world = started()
    world.run(10)
    uid = world.objects["Pod", POD]["metadata"]["uid"]
    if how == "deleted":
        world.remove("NetworkPolicy", POLICY)
    else:
        world.objects["NetworkPolicy", POLICY]["spec"]["ingress"] = [{}]
    world.writes.clear()
    world.turn()
    assert said(world) == ("False", "NotIsolated")
    world.run(10)
    assert world.writes.count(("apply", "NetworkPolicy", POLICY)) == 1
    assert said(world) == ("True", "SandboxRunning")
    assert world.objects["NetworkPolicy", POLICY]["spec"]["ingress"] != [{}]
    assert world.objects["Pod", POD]["metadata"]["uid"] == uid


def test_a_sandbox_that_cannot_be_isolated_again_ends() -> None:
    world = started()
    world.run(10)
    world.remove("NetworkPolicy", POLICY)
    world.refusals[f"NetworkPolicy/{POLICY}"] = "networkpolicies is forbidden"
    world.run(10)
    assert pods(world) == set()
    assert said(world) == ("False", "WriteRefused")
    world.refusals.clear()
    world.run(10)
    assert said(world) == ("True", "SandboxRunning")


def test_other_content_under_its_name_is_tested_anew() -> None:
    world = started(verification={"testSuite": {}})
    world.suites["v8"] = 1
    world.run(30)
    assert said(world, "SandboxTested") == ("True", "TestsPassed")
    world.remove("ModelVersion", "digits-0")
    world.base("digits-0", tag="v8", channel="Experimental")
    world.run(30)
    assert said(world, "SandboxTested") == ("False", "TestsFailed")
    assert world.objects["Pod", TEST]["spec"]["containers"][0]["image"].startswith("registry.local/digits:v8")


def test_a_run_that_an_older_release_recorded_goes_on() -> None:
    world = started(verification={"testSuite": {}})
    world.run(30)
    del world.objects["Model", MODEL]["status"]["sandbox"]["content"]
    world.writes.clear()
    world.run(60)
    assert world.writes == [("status", "Model", MODEL)]
