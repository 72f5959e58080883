"""What a Model's status says of its branches; none of it counts for its Ready, which is about what serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.rollout import ending
from topgraft.rollout.branches import Run, pods
from topgraft.rollout.conditions import Says
from topgraft.rollout.faults import faults_of, worst
from topgraft.rollout.situation import Situation
from topgraft.rollout.summary import state_of, without_nulls
from topgraft.rollout.views import Deployment


def on_wire(at: Situation) -> list[dict[str, Any]]:
    """The status of each branch, in the order of the spec."""
    return [_told(at, run, live) for run, live in at.branch_runs]


def _told(at: Situation, run: Run, live: Deployment | None) -> dict[str, Any]:
    mine, replicas = pods(at, run), run.branch.replicas
    version = run.version.metadata.name if run.version else None
    if run.version is None and run.stays:
        version = next((pod.version for pod in mine), None)
    ready = sum(pod.ready for pod in mine if pod.version == version)
    reason, text = run.reason, run.message
    fault = worst(faults_of(mine, live, at.seen.pod_events))
    for kind in ("Deployment", "Service"):
        if refused := at.seen.refusals.get(f"{kind}/{run.name}"):
            reason, text = "BranchRefused", f"{kind} {run.name!r}: {refused}"
        elif ending.ends(at, kind, run.name):
            reason, text = ending.REASON, ending.text(kind, run.name)
    if not reason and ready < replicas and fault is not None:
        reason, text = fault.reason, fault.message
    gone = version is None or (live is None and bool(reason))
    told: dict[str, Any] = {
        "name": run.branch.name,
        "service": run.name,
        "version": version,
        "state": "DISABLED" if gone else state_of(ready, replicas, faulty=fault is not None),
        "replicas": replicas,
        "readyReplicas": ready,
        "reason": reason or None,
        "message": text or None,
    }
    return without_nulls(told)


def notices(told: list[dict[str, Any]]) -> Iterator[Says]:
    """Said of what `on_wire` tells, and only where there are branches."""
    if not told:
        return
    late = next((one for one in told if one["state"] != "ACTIVE" or "reason" in one), None)
    if late is None:
        yield Says("BranchesReady", "True", "BranchPodsReady", f"{len(told)} of {len(told)} branches are ready")
    else:
        text = late.get("message") or f"{late['readyReplicas']} of {late['replicas']} pods are ready"
        yield Says("BranchesReady", "False", late.get("reason", "BranchStarting"), f"{late['service']}: {text}")
