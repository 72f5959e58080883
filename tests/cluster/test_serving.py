"""Size and serving settings of a Model that runs: they reach the pods in place, and a bad setting costs no old pod."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.stage import (
    FAIL_FAST_SECONDS,
    QUICK,
    STEADY_SECONDS,
    Stage,
    condition,
    message,
    model,
    open_stage,
    upgrade,
    version,
)
from support.watched import Seen

SERVED = ("zero", "sized", "setting", "bad")
IMPATIENT = {**QUICK["strategy"], "progressDeadlineSeconds": FAIL_FAST_SECONDS + 2}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("serving")) as made:
        yield made


@pytest.fixture(scope="module")
def served(stage: Stage) -> None:
    stage.kubectl.apply(*(body for name in SERVED for body in (model(name), version(name))))
    forbidden = model("forbidden", serving={"securityContext": {"allowPrivilegeEscalation": True}})
    stage.kubectl.apply(forbidden, version("forbidden"))
    for name in SERVED:
        stage.until_serves(name)
    stage.probe(*SERVED)


def _set(stage: Stage, name: str, serving: dict[str, Any], **spec: Any) -> float:
    patch = json.dumps({"spec": {"serving": serving, **spec}})
    now = time.monotonic()
    stage.kubectl("patch", "model", name, "--type=merge", f"--patch={patch}")
    return now


def _pods(stage: Stage, name: str) -> list[Seen]:
    """The newest states of the serving pods that are not told to end."""
    newest = (states[-1] for states in stage.watched.all("Pod", model=name, role="serving"))
    return [seen for seen in newest if not seen.gone and "deletionTimestamp" not in seen.body["metadata"]]


def _uids(stage: Stage, name: str) -> set[str]:
    return {seen.body["metadata"]["uid"] for seen in _pods(stage, name)}


def test_every_pod_passes_pod_security_restricted(stage: Stage, served: None) -> None:
    labels = stage.kubectl.get("namespace", stage.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    roles = {states[-1].body["metadata"]["labels"]["topgraft.dev/role"] for states in stage.watched.all("Pod")}
    assert roles == {"serving", "preflight"}
    for states in stage.watched.all("Pod"):
        for volume in (mount for c in states[-1].body["spec"]["containers"] for mount in c["volumeMounts"]):
            assert volume.get("readOnly") or not volume["name"].startswith("artifact-")


def test_pods_that_the_namespace_forbids_are_told_and_waited_for(stage: Stage, served: None) -> None:
    body = stage.until_ready("Model", "forbidden", "Unknown", "PodsRefused")
    assert "PodSecurity" in message(body)
    assert condition(body, "Reconciling") == ("True", "PodsRefused")
    assert stage.failures("forbidden") == {}


def test_scaling_to_zero_and_back_keeps_the_version(stage: Stage, served: None) -> None:
    name = "zero"
    version_before = stage.serving(name)
    stage.kubectl("scale", "model", name, "--replicas=0")
    stage.until(name, lambda each: not _pods(stage, each), STEADY_SECONDS, "no pod is left")
    stage.until(
        name, lambda each: stage.watched.live("Model", each)["status"]["replicas"] == 0, STEADY_SECONDS, "0 told"
    )
    assert stage.selected(name) == [version_before]
    stage.until_ready("Model", name, "True", "Serving")
    stage.kubectl("scale", "model", name, "--replicas=1")
    stage.until(
        name, lambda each: stage.watched.live("Model", each)["status"]["isReady"], STEADY_SECONDS, "a pod is ready"
    )
    stage.until_serves(name)
    assert stage.selected(name) == [version_before]
    assert stage.failures(name) == {}
    assert "lastRollback" not in stage.watched.live("Model", name)["status"]


def test_an_upgrade_at_zero_is_verified_by_one_pod(stage: Stage, served: None) -> None:
    name = "zero"
    stage.kubectl("scale", "model", name, "--replicas=0")
    stage.until(name, lambda each: not _pods(stage, each), STEADY_SECONDS, "no pod is left")
    stage.kubectl.apply(upgrade(name, "v1"))
    body = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")
    assert stage.serving(name) == body["status"]["toVersion"]
    assert stage.watched.all("Pod", model=name, version=body["status"]["toVersion"], role="serving")
    stage.until(name, lambda each: not _pods(stage, each), STEADY_SECONDS, "no pod is left")


def test_scaling_restarts_nothing(stage: Stage, served: None) -> None:
    """The way of a HorizontalPodAutoscaler: the /scale subresource."""
    name = "sized"
    before = _uids(stage, name)
    stage.kubectl("scale", "model", name, "--replicas=2")
    stage.until(
        name, lambda each: stage.watched.live("Model", each)["status"]["replicas"] == 2, STEADY_SECONDS, "2 told"
    )
    stage.until_serves(name)
    assert before < _uids(stage, name)
    status = json.loads(stage.kubectl("get", "--raw", _scale(stage, name)))["status"]
    assert status["replicas"] == 2
    selected = stage.kubectl.list("pods", status["selector"])
    assert {pod["metadata"]["uid"] for pod in selected} == _uids(stage, name)


def _scale(stage: Stage, name: str) -> str:
    return f"/apis/topgraft.dev/v1alpha1/namespaces/{stage.namespace}/models/{name}/scale"


def test_a_setting_rolls_the_pods_in_place(stage: Stage, served: None) -> None:
    name = "setting"
    before, version_before = _uids(stage, name), stage.serving(name)
    since = _set(stage, name, {"env": [{"name": "COLOUR", "value": "green"}]})
    stage.until(name, lambda each: _pods(stage, each) and not before & _uids(stage, each), STEADY_SECONDS, "other pods")
    stage.until_serves(name)
    environment = _pods(stage, name)[0].body["spec"]["containers"][0]["env"]
    assert {"name": "COLOUR", "value": "green"} in environment
    assert stage.selected(name) == [version_before]
    assert stage.unanswered(name, str(version_before), since) == []


def test_a_bad_setting_stalls_and_the_old_pods_serve_on(stage: Stage, served: None) -> None:
    name = "bad"
    before, version_before = _uids(stage, name), str(stage.serving(name))
    since = _set(stage, name, {"env": [{"name": "TOPGRAFT_ADAPTER", "value": "nowhere:Nothing"}]}, strategy=IMPATIENT)
    # The deadline may pass before the pod has told its reason: then Stalled says first that pods are not ready.
    body = stage.until_ready("Model", name, "False", "ContractMissing")
    print(f"bad setting: {condition(body)}: {message(body)}")
    assert condition(body, "Stalled") == ("True", "ContractMissing")
    assert "nowhere" in message(body)
    assert condition(body, "Available")[0] == "True"
    assert before <= _uids(stage, name)
    assert stage.selected(name) == [version_before]
    assert stage.failures(name) == {}, "the setting is at fault, not the version"
    assert stage.unanswered(name, version_before, since) == []
    _set(stage, name, {"env": None}, strategy=QUICK["strategy"])
    stage.until_serves(name)
    assert before <= _uids(stage, name)
