"""Whose fault a pod's trouble is, by the words of kubelets and runtimes: the content's or the cluster's."""

from datetime import UTC, datetime
from typing import Any

import pytest
from topgraft.rollout.faults import pod_fault
from topgraft.rollout.preflight import read_report
from topgraft.rollout.views import Pod

from tests.unit.rollout.world import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PULL = 'failed to pull and unpack image "{0}": failed to resolve reference "{0}": {1}'


def pod(*statuses: dict[str, Any], **status: Any) -> Pod:
    meta = {"name": "p", "namespace": "n", "uid": "u", "creationTimestamp": NOW.isoformat()}
    return Pod.model_validate({"metadata": meta, "status": {"containerStatuses": list(statuses), **status}})


def waiting(reason: str, message: str) -> Pod:
    return pod({"name": "adapter", "state": {"waiting": {"reason": reason, "message": message}}}, phase="Pending")


@pytest.mark.parametrize(
    ("reason", "message", "expected", "content"),
    [
        ("ErrImagePull", PULL.format("r.io/a:v9", "r.io/a:v9: not found"), "ImageNotFound", True),
        ("ErrImagePull", PULL.format("r.io/loan-denied:v9", "r.io/loan-denied:v9: not found"), "ImageNotFound", True),
        ("ErrImagePull", PULL.format("r.io/timeout-model:v1", "unexpected status from HEAD request to "
         "https://r.io/v2/timeout-model/manifests/v1: 401 Unauthorized"), "ImagePullDenied", False),
        ("ErrImagePull", PULL.format("r.io/not-found:v1", 'Head "https://r.io/v2/": dial tcp 10.0.0.1:443: connect: '
         "connection refused"), "RegistryUnavailable", False),
        ("ErrImagePull", PULL.format("r.io/a:v1", "unexpected status from HEAD request to https://r.io/v2/a: "
         "503 Service Unavailable"), "RegistryUnavailable", False),
        ("CreateContainerError", "context deadline exceeded", "RunContainerError", False),
        ("CreateContainerError", 'failed to reserve container name "x"', "RunContainerError", False),
        ("RunContainerError", "nvidia-container-cli: initialization error", "RunContainerError", False),
        ("RunContainerError", 'exec: "serve": executable file not found in $PATH', "RunContainerError", True),
        ("RunContainerError", "exec /serve: exec format error", "RunContainerError", True),
        ("CreateContainerError", "failed to generate spec: no command specified", "RunContainerError", True),
        ("SignatureValidationFailed", "the policy wants a signature", "PodNotStarted", False),
        ("ImageInspectError", "the image cannot be read", "PodNotStarted", False),
    ],
)  # fmt: skip
def test_a_waiting_container_is_blamed_on_whom_it_should(
    reason: str, message: str, expected: str, content: bool
) -> None:
    fault = pod_fault(waiting(reason, message))
    assert fault is not None
    assert (fault.reason, fault.content) == (expected, content)
    assert message[-20:] in fault.message, "the kubelet's own words are told"


@pytest.mark.parametrize("reason", ["", "ContainerCreating", "PodInitializing"])
def test_a_container_on_its_way_is_no_fault(reason: str) -> None:
    assert pod_fault(waiting(reason, "")) is None


@pytest.mark.parametrize(
    "status",
    [
        {"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."},
        {"reason": "NodeShutdown"},
        {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]},
    ],
    ids=["shutdown", "before it started", "disrupted"],
)
def test_a_preflight_that_its_node_ended_is_made_again(status: dict[str, Any]) -> None:
    world = World()
    world.model()
    world.base()
    world.run(60)
    (version,) = (v for v in world.observe().versions)
    ended = {"name": "inspect", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}}
    report = read_report(pod(ended, phase="Failed", **status), version)
    assert report.lost
    assert report.error is None
