"""Recreate: the old version's pods end before the new ones start. The strategy with a downtime, told while it lasts.

Where it is at stands in the Service's decision (a Step of mode Recreate, then Forward or Back of that mode), in the
sizes of the Deployments and in the pods that are left: a crash between any two writes changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.claims import exclusive
from topgraft.rollout.views import Pod

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

GONE_AFTER = timedelta(seconds=30)
"""A pod that outlives its grace period by this much is on a lost node: nobody waits for it."""


def asked_for(at: Situation, candidate: ModelVersion) -> bool:
    """Whether it is known beforehand that no second copy may run."""
    return exclusive(at, candidate) or at.model.spec.strategy.type == "Recreate"


def lacks_room(at: Situation, candidate: ModelVersion) -> bool:
    """Whether no node has taken the candidate's pods for failFastSeconds, and the spec says what to do then."""
    strategy = at.model.spec.strategy
    if strategy.when_unschedulable != "Recreate":
        return False
    longest = timedelta(seconds=strategy.fail_fast_seconds)
    found = (f for f in at.faults(candidate.metadata.name) if f.reason == "Unschedulable")
    return any(at.now - fault.since >= longest for fault in found)


def sizes(at: Situation, candidate: str) -> dict[str, int]:
    """While the candidate replaces what serves: nothing of that, then the whole candidate."""
    assert at.serving is not None
    free = not others(at, candidate)
    made = {candidate: max(1, at.replicas)} if free else {candidate: 0} if candidate in at.deployments else {}
    return {at.serving: 0, **made}


def others(at: Situation, version: str) -> list[Pod]:
    """Serving pods of the Model's other versions: as long as one is there it holds the room, or the volume."""
    serving = (p for p in at.seen.pods if p.role == "serving" and p.version != version)
    return [pod for pod in serving if pod.runs_for(pod.version or "") and not _lost(at, pod)]


def _lost(at: Situation, pod: Pod) -> bool:
    ends = pod.metadata.deletion_timestamp
    return ends is not None and at.now >= ends + GONE_AFTER


def restarts(at: Situation) -> bool:
    """Whether what serves was stopped, is wanted again and has to wait for the pods that took its place."""
    decision, serving = at.decision, at.serving
    if decision is None or decision.direction != "Back" or decision.mode != "Recreate" or serving is None:
        return False
    live = at.deployments.get(serving)
    stopped = live is None or live.spec.replicas == 0
    return stopped and any(not _lost(at, pod) for pod in at.pods(decision.origin))
