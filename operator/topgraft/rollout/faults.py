"""What is wrong with a pod, and whose fault it is: the new content's, or the environment's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from topgraft.rollout.termination import MESSAGE_LIMIT, clean, error_in, parse
from topgraft.rollout.views import ContainerStatus, Deployment, Pod

_NOT_FOUND = re.compile(r"not found|manifest unknown|name unknown|does not exist", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"connection refused|no such host|timeout|timed out|deadline exceeded|429|toomanyrequests|too many requests"
    r"|unreachable|EOF|connection reset|server misbehaving|5\d\d ",
    re.IGNORECASE,
)
_DENIED = re.compile(r"unauthorized|denied|forbidden|authorization failed", re.IGNORECASE)
_UNRUNNABLE = re.compile(
    r"executable file not found|no such file or directory|permission denied|exec format error"
    r"|no command specified"
)
"""What a runtime says where the image, or its command, is to blame; all else it says is about the node."""
_REFERENCE = re.compile(r'"[^"]*"|\S*/\S*')
_STARTING = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")
_CLAIM_MISSING = re.compile(r'persistentvolumeclaim "[^"]*" not found')


@dataclass(frozen=True)
class Fault:
    """`content`: the attempt's own fault, which ends it; else the environment's, which is waited for.

    `since` is when it could first have been seen; `final` needs no grace, a second try cannot end otherwise.
    """

    reason: str
    message: str
    content: bool
    since: datetime
    final: bool = False

    def ends_attempt(self, now: datetime, fail_fast_seconds: int) -> bool:
        return self.content and (self.final or now - self.since >= timedelta(seconds=fail_fast_seconds))


def worst(faults: Iterable[Fault]) -> Fault | None:
    """The one to tell: content before environment, the oldest first."""
    return min(faults, key=lambda f: (not f.content, not f.final, f.since, f.message), default=None)


def pod_fault(pod: Pod, event: str = "") -> Fault | None:
    """What keeps `pod` from running; `event` is the text of its newest Warning event, where there is one."""
    since = pod.status.start_time or pod.metadata.creation_timestamp
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        reason = "PersistentVolumeClaimNotFound" if _CLAIM_MISSING.search(scheduled.message) else "Unschedulable"
        return _fault(pod, reason, scheduled.message or "no node fits", since)
    if pod.status.phase == "Failed":
        text = f"{pod.status.reason or 'Failed'}: {pod.status.message}"
        return _fault(pod, "PodRejected", text, since)
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    found = worst(f for status in statuses if (f := container_fault(pod, status, since)))
    if (
        found is None
        and event.startswith(STUCK_BY)
        and not any(s.state.running or s.state.terminated for s in statuses)
    ):
        return _fault(pod, _mount_reason(event), event, since)
    return found


STUCK_BY = ("FailedMount:", "FailedAttachVolume:", "FailedCreatePodSandBox:")
"""Reasons of the events that tell why a pod has no container yet; any other Warning may be about something else."""


def _mount_reason(event: str) -> str:
    for kind in ("configmap", "secret", "persistentvolumeclaim"):
        if re.search(rf'{kind}s? "[^"]*" not found', event, re.IGNORECASE):
            return {"configmap": "ConfigMapNotFound", "secret": "SecretNotFound"}.get(
                kind, "PersistentVolumeClaimNotFound"
            )
    return "PodNotStarted" if event.startswith("FailedCreatePodSandBox") else "VolumeNotMounted"


def container_fault(pod: Pod, status: ContainerStatus, since: datetime) -> Fault | None:
    waiting, ended = status.state.waiting, status.state.terminated or status.last_state.terminated
    where = f"container {status.name}"
    if status.name in ("digest", "peft", "verify", "resolve"):
        return _own_fault(pod, status, since)
    told = error_in(parse(ended.message), MESSAGE_LIMIT) if ended else None
    if told is not None and (status.state.running is None or not status.ready):
        return _fault(pod, told[0], told[1], since, content=True, final=True)
    if waiting is not None:
        match waiting.reason:
            case "InvalidImageName":
                return _fault(pod, "InvalidImageName", waiting.message, since, content=True, final=True)
            case "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "RegistryUnavailable":
                return _pull_fault(pod, waiting.message, since)
            case "CreateContainerConfigError":
                reason = _config_reason(waiting.message)
                return _fault(pod, reason, waiting.message, since, content=reason == "ImageRunsAsRoot")
            case "RunContainerError" | "CreateContainerError":
                unrunnable = _UNRUNNABLE.search(waiting.message) is not None
                return _fault(pod, "RunContainerError", f"{where}: {waiting.message}", since, content=unrunnable)
            case reason if reason not in _STARTING:
                return _fault(pod, "PodNotStarted", f"{where}: {reason}: {waiting.message}", since)
    crashed = ended is not None and (ended.exit_code != 0 or pod.role != "preflight")
    down = status.state.running is None
    again = status.restart_count > 1 or (status.restart_count == 1 and down)
    if crashed and ended is not None and not status.ready and again:
        tail = f": {ended.message}" if ended.message.strip() else ""
        text = f"{where} ended with exit code {ended.exit_code} ({ended.reason}), {status.restart_count} restarts{tail}"
        return _fault(pod, "CrashLoop", text, since, content=True)
    return None


def _own_fault(pod: Pod, status: ContainerStatus, since: datetime) -> Fault | None:
    """Containers of the operator's own image: what keeps one from starting is no version's fault."""
    waiting, ended = status.state.waiting, status.last_state.terminated
    if waiting is None or waiting.reason in ("", "ContainerCreating", "PodInitializing"):
        return None
    if waiting.reason == "CrashLoopBackOff" and ended is not None:
        return _fault(pod, "PodNotStarted", f"container {status.name} ended with exit code {ended.exit_code}", since)
    return _fault(pod, "OperatorImageUnavailable", f"{waiting.reason}: {waiting.message}", since)


def _pull_fault(pod: Pod, message: str, since: datetime) -> Fault:
    said = _REFERENCE.sub("", message)  # an image may be called loan-denied or timeout-model
    if _UNREACHABLE.search(said) and not _NOT_FOUND.search(said):
        return _fault(pod, "RegistryUnavailable", message, since)
    if _NOT_FOUND.search(said) and not _DENIED.search(said):
        return _fault(pod, "ImageNotFound", message, since, content=True)
    return _fault(pod, "ImagePullDenied" if _DENIED.search(said) else "ImagePullFailed", message, since)


def _config_reason(message: str) -> str:
    if "runAsNonRoot" in message or "non-root" in message or "non-numeric" in message:
        return "ImageRunsAsRoot"
    return (
        "SecretNotFound"
        if message.startswith("secret")
        else "ConfigMapNotFound"
        if "configmap" in message
        else "ContainerConfigError"
    )


def _fault(
    pod: Pod, reason: str, message: str, since: datetime, *, content: bool = False, final: bool = False
) -> Fault:
    return Fault(reason, f"pod {pod.name}: {clean(message, MESSAGE_LIMIT)}", content, since, final)


def deployment_fault(deployment: Deployment) -> Fault | None:
    """Why the Deployment's pods cannot even be created: quota, admission, a limit range."""
    failure = deployment.condition("ReplicaFailure")
    if failure is None:
        return None
    reason = "QuotaExceeded" if "exceeded quota" in failure.message else "PodsRefused"
    return Fault(reason, clean(failure.message, MESSAGE_LIMIT), False, deployment.metadata.creation_timestamp)


def refusal_fault(subject: str, text: str, now: datetime) -> Fault:
    """The API server's refusal of our own write, e.g. of the preflight pod under a quota."""
    reason = (
        "QuotaExceeded" if "exceeded quota" in text else "NotOwned" if text.startswith("NotOwned") else "WriteRefused"
    )
    return Fault(reason, clean(f"{subject}: {text}", MESSAGE_LIMIT), False, now)


def faults_of(pods: Iterable[Pod], deployment: Deployment | None, events: Mapping[str, str]) -> list[Fault]:
    found = [f for pod in pods if not pod.ready and (f := pod_fault(pod, events.get(pod.metadata.uid, "")))]
    if deployment is not None and (fault := deployment_fault(deployment)):
        found.append(fault)
    return found
