"""Is what serves healthy, is the candidate on its way: the faults that a step acts on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from topgraft.rollout import live, peft, routing, strategy, verifying
from topgraft.rollout.contract import artifact_digest
from topgraft.rollout.faults import Fault, faults_of, refusal_fault, worst
from topgraft.rollout.preflight import preflight_name
from topgraft.rollout.views import Pod

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


SLOW = ("DigestDeadlineExceeded",)
"""Errors of a check that its volume, not the version, is to blame for."""


def serving_pods(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """By version, those that its Deployment made."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.role == "serving" and pod.version and pod.runs_for(pod.version):
            found.setdefault(pod.version, []).append(pod)
    return found


def serving_fault(at: Situation) -> Fault | None:
    """Why what serves should be left now. `content` tells whether it is the version's own fault.

    With no ready pod at all it is left in any case; a fault of a single pod, or of the artifacts, counts in the bake;
    a limit on live traffic for as long as it is watched.
    """
    serving, decision = at.serving, at.decision
    if decision is None or at.replicas == 0:
        return None
    if at.ready(serving) == 0:
        return _all_gone(at, serving, decision.time)
    if serving == at.recorded_stable:
        return live.fault(at)
    own = _restarted(at, serving, decision.time) or _changed_artifacts(at)
    return own or _partly_unready(at, serving, decision.time) or live.fault(at)


def shared_fault(at: Situation, version: str, since: datetime) -> Fault | None:
    """Why a version that has a share of the requests should lose it."""
    if at.ready(version) == 0:
        return _all_gone(at, version, since)
    own = _restarted(at, version, since) or _partly_unready(at, version, since)
    return own or live.canary_fault(at, version, since)


def _all_gone(at: Situation, serving: str | None, since: datetime) -> Fault | None:
    pods = at.pods(serving)
    if fault := worst(at.faults(serving)):
        return replace(fault, final=True)
    if pods and not any(pod.started for pod in pods):
        # They load: after a scale-up from nothing, or made anew. Late is not sick.
        return None
    if pods and all(_out_of_reach(pod) for pod in pods):
        return Fault("NodeNotReady", f"the nodes of all pods of {serving!r} do not answer", False, since, True)
    if all(pod.disrupted or not pod.started for pod in pods):
        return Fault("PodsDisrupted", f"no pod of {serving!r} is ready: {_disruption(pods)}", False, since, True)
    told = next((c.message for p in pods if (c := p.condition("Ready")) and c.message), "")
    text = f"no pod of {serving!r} is ready: {told or f'it has {len(pods)} pods'}"
    return Fault("NoReadyPods", text, True, since, True)


def _disruption(pods: Sequence[Pod]) -> str:
    """Who took the pods, as far as they tell."""
    for pod in pods:
        if told := pod.disruption:
            return f"pod {pod.name}: {told.reason}: {told.message}"
    return "its pods are deleted" if pods else "its pods are gone"


def _out_of_reach(pod: Pod) -> bool:
    """The node controller took the pod's Ready away, its containers did not: the node is gone, the version is not."""
    condition, statuses = pod.condition("Ready"), pod.status.container_statuses
    return condition is not None and condition.status != "True" and bool(statuses) and all(s.ready for s in statuses)


def _restarted(at: Situation, version: str | None, since: datetime) -> Fault | None:
    for pod in at.pods(version):
        for status in pod.status.container_statuses:
            ended = status.last_state.terminated
            if ended is not None and ended.finished_at is not None and ended.finished_at > since:
                text = f"pod {pod.name}: container {status.name} ended with exit code {ended.exit_code} while it baked"
                return Fault("ContainerRestarted", text, True, ended.finished_at, True)
    return None


def _changed_artifacts(at: Situation) -> Fault | None:
    version = at.versions.get(at.serving or "")
    found = at.recheck.artifact
    if version is None or found is None or version.status.artifact is None:
        return None
    before, after = version.status.artifact.digest, artifact_digest(version, at.recheck)
    if after == before:
        return None
    text = f"the artifacts' digest was {before} before the rollout and is {after} after it: restore the files"
    return Fault("ArtifactsChanged", text, True, at.now, True)


def _partly_unready(at: Situation, version: str | None, since: datetime) -> Fault | None:
    grace = timedelta(seconds=at.model.spec.strategy.fail_fast_seconds)
    for pod in at.pods(version):
        condition = pod.condition("Ready")
        if condition is None or condition.last_transition_time is None or pod.metadata.deletion_timestamp:
            continue
        changed = condition.last_transition_time
        if pod.ready or not pod.started or _out_of_reach(pod) or changed <= since or at.now - changed < grace:
            continue
        return Fault("ReadinessFailed", f"pod {pod.name}: {condition.message}", True, changed, True)
    return None


def preparation_fault(at: Situation) -> Fault | None:
    """What keeps the candidate from being ready: its preflight pod, its Deployment, its pods, or a refusal."""
    candidate = at.candidate
    if candidate is None:
        return None
    found = [*at.faults(candidate.metadata.name), *verifying.obstacles(at), *peft.obstacles(at, candidate)]
    if strategy.by_route(at) and (hindrance := routing.fault(at)):
        found.append(hindrance)
    pod, report = at.preflight_of(candidate), at.report(candidate)
    if pod is not None and (pod.status.phase == "Pending" or (report is not None and report.lost)):
        found += faults_of([pod], None, at.seen.pod_events)
    if report is not None and report.error is not None and report.error[0] in SLOW:
        found.append(Fault(*report.error, False, at.now))
    for kind, name in (("Pod", preflight_name(candidate.metadata.name)), ("Service", at.model.metadata.name)):
        if text := at.seen.refusals.get(f"{kind}/{name}"):
            found.append(refusal_fault(f"{kind} {name!r}", text, at.now))
    return worst(found)


def loads_until(at: Situation, version: str) -> datetime:
    """When the last of its pods must have loaded: a node that came late takes nothing from the time to load."""
    limit = timedelta(seconds=at.model.spec.serving.probes.startup_seconds)
    began = (
        status.state.running.started_at
        for pod in at.pods(version)
        for status in pod.status.container_statuses
        if not pod.ready and status.state.running is not None and status.state.running.started_at is not None
    )
    return max((each + limit for each in began), default=at.now)


def runs_without_being_ready(at: Situation, version: str) -> bool:
    """Whether it is the version that is late: its pods have their containers, all of them run."""
    pods = [pod for pod in at.pods(version) if not pod.ready]
    return bool(pods) and all(
        pod.status.container_statuses and all(s.state.running is not None for s in pod.status.container_statuses)
        for pod in pods
    )
