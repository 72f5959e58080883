"""Verification before the switch: what is asked, what a verdict leads to, and what no verdict leads to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from topgraft.rollout.target import attempt_hash, choose

from .world import MODEL, World

SMOKE = {"name": "seven", "protocol": "V2", "body": "{}", "expect": {"status": 200}}
GOLDEN = {"configMap": {"name": "golden"}, "compare": "Exact"}
ALL = {"smoke": [SMOKE], "golden": GOLDEN, "testSuite": {}}


def started(verification: dict[str, Any], **spec: Any) -> World:
    """v1 serves and its reports are done."""
    world = World(verdicts={}, suites={})
    world.model(verification=verification, **spec)
    world.base()
    world.run(120)
    assert world.serving == "digits-1"
    world.writes.clear()
    world.events.clear()
    return world


def pods(world: World, end: str) -> list[str]:
    return sorted(name for kind, name in world.objects if kind == "Pod" and name.endswith(end))


def upgrade_status(world: World) -> dict[str, Any]:
    return dict(world.objects["AdapterUpgrade", "digits"]["status"])


def written(world: World, end: str) -> list[str]:
    return [verb for verb, _, name in world.writes if name.endswith(end)]


def test_an_upgrade_is_verified_before_traffic_moves_and_tells_of_it() -> None:
    world = started(ALL)
    world.upgrade("v2")
    world.run(90)
    assert world.serving_tag == "v2"
    order = [name for verb, kind, name in world.writes if kind in ("Pod", "Service") and verb != "delete"]
    version = world.serving
    assert order == [f"{version}-preflight", "digits-candidate", f"{version}-verify", f"{version}-test", MODEL]
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("True", "UpgradeSucceeded")
    assert said["Verified"] == ("True", "ChecksPassed")
    assert said["Healthy"] == ("True", "Baked")
    checks = upgrade_status(world)["checks"]
    names = ["smoke/seven", "golden/output", "golden/latency-p95", "golden/errors", "tests"]
    assert [check["name"] for check in checks] == names
    assert {check["verdict"] for check in checks} == {"Passed"}
    assert world.objects["Model", MODEL]["status"]["checks"] == checks
    assert world.conditions("Model", MODEL)["Verified"] == ("True", "ChecksPassed")
    assert not pods(world, "-verify")
    assert not pods(world, "-test")
    assert ("Service", "digits-candidate") not in world.objects


def test_the_pods_say_what_is_asked_and_see_no_more_than_they_need() -> None:
    world = started({**ALL, "golden": {"persistentVolumeClaim": {"claimName": "golden", "path": "a/b.jsonl"}}})
    world.verdicts["v2"] = "hangs"
    world.upgrade("v2")
    world.run(5)
    (name,) = pods(world, "-verify")
    spec = world.objects["Pod", name]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "topgraft:test"
    assert spec["automountServiceAccountToken"] is False
    assert spec["volumes"] == [{"name": "golden", "persistentVolumeClaim": {"claimName": "golden"}}]
    assert container["volumeMounts"] == [{"name": "golden", "mountPath": "/golden", "readOnly": True}]
    told = json.loads("".join(part.removeprefix("--config=") for part in container["args"][1:]))
    assert told["golden"]["file"] == "/golden/a/b.jsonl"
    assert told["model"] == MODEL
    assert len(told["candidate"]["addresses"]) == len(told["serving"]["addresses"]) == 2
    assert not set(told["candidate"]["addresses"]) & set(told["serving"]["addresses"])


def test_tests_run_in_the_new_image_with_the_artifacts() -> None:
    world = started({"testSuite": {"command": ["pytest", "/test_suite"], "timeoutSeconds": 60}})
    world.upgrade("v2")
    world.run(5)
    (name,) = pods(world, "-test")
    body = world.objects["Pod", name]
    (container,) = body["spec"]["containers"]
    assert container["image"].startswith("registry.local/digits:v2@sha256:")
    assert container["command"] == ["pytest", "/test_suite"]
    assert {"name": "artifact-weights", "mountPath": "/weights", "readOnly": True} in container["volumeMounts"]
    assert body["metadata"]["labels"]["validation"] == "Vv2_validation"
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["DATASET_VERSION"] == "v2"
    assert environment["TOPGRAFT_ARTIFACT_DIR"] == "/weights"
    assert body["spec"]["activeDeadlineSeconds"] == 60


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("smoke/seven", "SmokeFailed"),
        ("golden/output", "GoldenMismatch"),
        ("golden/latency-p95", "LatencyIncreased"),
        ("golden/errors", "ErrorsIncreased"),
        ("tests", "TestsFailed"),
    ],
)
def test_a_failed_check_refuses_the_version_and_leaves_its_report(check: str, reason: str) -> None:
    world = started(ALL)
    if check == "tests":
        world.suites["v2"] = 1
    else:
        world.verdicts["v2"] = check
    world.upgrade("v2")
    world.run(30)
    assert world.serving == "digits-1"
    assert ("switch", "Service", MODEL) not in world.writes
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Ready"] == ("False", reason)
    assert said["Verified"] == ("False", reason)
    assert said["RolledBack"] == ("True", reason)
    message = next(c["message"] for c in upgrade_status(world)["conditions"] if c["type"] == "Ready")
    (pod,) = pods(world, "-test" if check == "tests" else "-verify")
    assert check in message
    assert f"kubectl logs {pod}" in message
    assert [e.reason for e in world.events if e.type == "Warning"] == [reason]
    assert ("Service", "digits-candidate") not in world.objects
    assert len([k for k in world.objects if k[0] == "Deployment"]) == 1
    world.writes.clear()
    world.run(4000)
    assert world.writes == []
    assert pods(world, "-verify")
    world.verdicts.clear()
    world.suites.clear()
    world.upgrade("v3")
    world.run(100)
    assert world.serving_tag == "v3"
    assert pods(world, "-verify") == pods(world, "-test") == []


def test_a_new_attempt_proves_itself_anew() -> None:
    world = started(ALL)
    world.verdicts["v2"] = "golden/output"
    world.upgrade("v2")
    world.run(30)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "GoldenMismatch")
    world.verdicts.clear()
    world.upgrade("v2", verification={"golden": {**GOLDEN, "mayChange": ["7"]}})
    world.run(100)
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Verified"] == ("True", "ChecksPassed")


def test_bad_input_waits_with_its_reason_and_goes_on_when_it_is_mended() -> None:
    world = started(ALL)
    world.verdicts["v2"] = "error:GoldenFileInvalid"
    world.upgrade("v2")
    world.run(50)
    for kind, name in (("AdapterUpgrade", "digits"), ("Model", MODEL)):
        said = world.conditions(kind, name)
        assert said["Ready"] == ("Unknown", "GoldenFileInvalid")
        assert said["Verified"] == ("Unknown", "GoldenFileInvalid")
    assert "line 3" in next(c["message"] for c in upgrade_status(world)["conditions"] if c["type"] == "Ready")
    assert 2 <= written(world, "-verify").count("apply") <= 6
    assert written(world, "digits").count("status") <= 6, "a try after the other changes no status"
    assert [e.reason for e in world.events if e.type == "Warning"] == ["GoldenFileInvalid"]
    assert "failure" not in world.objects["ModelVersion", upgrade_status(world)["toVersion"]].get("status", {})
    world.verdicts.clear()
    world.run(100)
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("True", "UpgradeSucceeded")


def test_bad_input_ends_at_the_deadline_without_blame_and_is_tried_again() -> None:
    world = started(ALL, strategy={"progressDeadlineSeconds": 120})
    world.verdicts["v2"] = "lost"
    world.upgrade("v2")
    world.run(125)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "EnvironmentNotReady")
    assert pods(world, "-verify") == []
    world.verdicts.clear()
    world.run(200)
    assert world.serving_tag == "v2"


def test_a_refused_pod_is_told_by_its_reason() -> None:
    world = started(ALL)
    world.upgrade("v2")
    name = world.observe().model and "digits-"
    world.run(1)
    version = upgrade_status(world)["toVersion"]
    assert version.startswith(name)
    world = started(ALL)
    world.refusals[f"Pod/{version}-verify"] = 'pods "x" is forbidden: exceeded quota: pods'
    world.upgrade("v2")
    world.run(30)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "QuotaExceeded")
    world.refusals.clear()
    world.run(30)
    assert world.serving_tag == "v2"


def test_a_long_verification_is_not_cut_short_by_the_progress_deadline() -> None:
    world = started(ALL, strategy={"progressDeadlineSeconds": 60})
    world.verdicts["v2"] = "hangs"
    world.upgrade("v2")
    world.run(500)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("Unknown", "Verifying")
    world.verdicts.clear()
    world.run(30)
    assert world.serving_tag == "v2"


@pytest.mark.parametrize("policy", ["Finish", "RollBack"])
def test_no_verdict_is_never_called_healthy(policy: str) -> None:
    world = started(ALL, rollback={"onInconclusive": policy})
    world.verdicts["v2"] = "Inconclusive"
    world.upgrade("v2")
    world.run(100)
    said = world.conditions("AdapterUpgrade", "digits")
    assert said["Verified"] == ("Unknown", "Inconclusive")
    if policy == "Finish":
        assert world.serving_tag == "v2"
        assert said["Ready"] == ("True", "UpgradeSucceeded")
        assert said["Healthy"] == ("Unknown", "Inconclusive")
    else:
        assert world.serving == "digits-1"
        assert said["Ready"] == ("False", "Inconclusive")


def test_the_first_version_serves_at_once_and_its_checks_are_reported() -> None:
    world = World(verdicts={"v1": "smoke/seven"}, suites={"v1": 5})
    world.model(verification=ALL)
    world.base()
    world.run(1)
    assert world.serving == "digits-1"
    world.run(60)
    said = world.conditions("Model", MODEL)
    assert said["Ready"] == ("True", "Serving")
    assert said["Verified"] == ("False", "SmokeFailed")
    assert said["RollbackReady"] == ("False", "RollbackTargetMissing")
    names = {check["name"]: check["verdict"] for check in world.objects["Model", MODEL]["status"]["checks"]}
    assert names == {"smoke/seven": "Failed", "golden/errors": "Passed", "tests": "Failed"}
    assert [e.reason for e in world.events if e.type == "Warning"] == ["SmokeFailed", "TestsFailed"]
    assert pods(world, "-verify")
    world.writes.clear()
    world.run(4000)
    assert world.writes == []
    world.verdicts.clear()
    world.suites.clear()
    world.upgrade("v2")
    world.run(100)
    assert world.serving_tag == "v2"
    assert world.conditions("Model", MODEL)["Verified"] == ("True", "ChecksPassed")


@pytest.mark.parametrize(("code", "told"), [(0, ("True", "TestsPassed")), (1, ("False", "TestsFailed"))])
def test_after_a_rollback_the_tests_run_once_on_what_serves(code: int, told: tuple[str, str]) -> None:
    world = started({"testSuite": {}})
    world.upgrade("v2")
    world.run(10)
    assert world.serving_tag == "v2"
    world.suites["v1"] = code
    world.events.clear()
    world.writes.clear()
    world.dead.add(world.serving or "")
    world.run(60)
    assert world.serving == "digits-1"
    assert world.conditions("Model", MODEL)["Validated"] == told
    assert written(world, "digits-1-test")[:1] == ["apply"]
    assert [e.reason for e in world.events][1:] == [told[1]]
    assert pods(world, "digits-1-test") == (["digits-1-test"] if code else [])
    # Neither time nor a new operator, which knows the objects only, runs them again.
    world.writes.clear()
    world.run(4000)
    assert world.writes == []
    assert world.conditions("Model", MODEL)["Validated"] == told


def test_going_back_to_what_was_there_before_is_not_held_up() -> None:
    world = started(ALL)
    world.upgrade("v2")
    world.run(900)
    assert world.serving_tag == "v2"
    assert ("Deployment", "digits-1") not in world.objects
    world.verdicts["v1"] = "golden/output"
    world.upgrade("v1")
    world.run(100)
    assert world.serving == "digits-1"
    world.verdicts["v2"] = "golden/output"
    world.run(900)
    world.upgrade("v2")
    world.run(100)
    assert world.serving == "digits-1", "forward again is verified again"


def test_only_verification_that_is_asked_for_is_part_of_an_attempt() -> None:
    """The hash of before: an operator that learned to verify tries nothing again that failed without."""
    found = []
    for spec in ({}, {"verification": {}}, {"verification": {"limits": {}, "deadlineSeconds": 900}}, ALL):
        world = World()
        world.model(**(spec if spec is not ALL else {"verification": ALL}))
        world.base()
        seen = world.observe()
        assert seen.model
        versions = {v.metadata.name: v for v in seen.versions}
        found.append(attempt_hash(seen.model, versions, choose(seen.model, versions, (), None)))
    assert found[0] == found[1] == found[2] != found[3]


def test_where_the_old_pods_end_first_the_tests_come_before_that() -> None:
    world = started(ALL, strategy={"type": "Recreate"})
    world.upgrade("v2")
    world.run(90)
    assert world.serving_tag == "v2"
    order = [name for verb, kind, name in world.writes if kind in ("Pod", "Service") and verb != "delete"]
    version = world.serving
    parts = [f"{version}-preflight", f"{version}-test", MODEL, f"{version}-verify", MODEL]
    assert [name for name in order if name in parts] == parts
    world.suites["v3"] = 1
    world.writes.clear()
    world.upgrade("v3")
    world.run(90)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "TestsFailed")
    assert ("switch", "Service", MODEL) not in world.writes, "not a second without an answer"
    world.verdicts["v5"] = "smoke/seven"
    world.upgrade("v5")
    world.run(200)
    assert world.serving == version
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "SmokeFailed")


@pytest.mark.parametrize(
    "strategy", [{"type": "Canary", "canary": {"steps": [{"weight": 25, "pauseSeconds": 5}]}}, {"type": "Rolling"}]
)
def test_no_share_of_the_requests_before_the_verdicts(strategy: dict[str, Any]) -> None:
    world = started(ALL, strategy=strategy, serving={"replicas": 4})
    world.verdicts["v3"] = "golden/output"
    world.upgrade("v3")
    world.run(60)
    assert world.conditions("AdapterUpgrade", "digits")["Ready"] == ("False", "GoldenMismatch")
    assert ("switch", "Service", MODEL) not in world.writes
    world.upgrade("v2")
    world.run(200)
    assert world.serving_tag == "v2"
    assert world.conditions("AdapterUpgrade", "digits")["Verified"] == ("True", "ChecksPassed")
