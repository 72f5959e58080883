"""Canary and Rolling: the Service selects the old and the new pods, and the share of the new ones grows.

The step that is held, and since when, stands in the Service's decision; a restart of the operator changes no pause.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from topgraft.api.policy import CanaryStep
from topgraft.rollout import health
from topgraft.rollout.share import Share, rolled, share, surge
from topgraft.rollout.views import Decision

if TYPE_CHECKING:
    from topgraft.rollout.faults import Fault
    from topgraft.rollout.situation import Situation


def canary_steps(at: Situation) -> tuple[CanaryStep, ...]:
    canary = at.model.spec.strategy.canary
    return canary.steps if canary else ()


def first_size(at: Situation, how: str) -> int:
    """Pods of the candidate that must be ready before the first request reaches one."""
    given = canary_steps(at)
    if how == "Rolling" or not given:
        return min(max(1, at.replicas), surge(at.replicas))
    return share(at.replicas, given[0].weight).candidate


def pause_ends(at: Situation, begun: Decision) -> datetime:
    """When the step has been held for long enough; at once where it is no longer in the spec."""
    given, index = canary_steps(at), begun.step or 0
    seconds = given[index].pause_seconds if begun.mode == "Canary" and index < len(given) else 0
    return begun.time + timedelta(seconds=seconds)


def upcoming(at: Situation, begun: Decision) -> CanaryStep | None:
    """The step after the one that is held; None after the last."""
    given, index = canary_steps(at), (begun.step or 0) + 1
    return given[index] if begun.mode == "Canary" and index < len(given) else None


def finished(at: Situation, begun: Decision) -> bool:
    """Whether no step is left before all requests go to the candidate."""
    if begun.mode != "Canary":
        return True
    return upcoming(at, begun) is None and at.now >= pause_ends(at, begun)


def sizes(at: Situation, begun: Decision, candidate: str) -> dict[str, int]:
    """Pods of both versions at this step. The next step's pods start when the pause is over, and it begins with them
    ready."""
    made = _rolling(at, candidate) if begun.mode == "Rolling" else _canary(at, begun)
    stable = made.stable if at.replicas else 0
    return {begun.to: stable, candidate: made.candidate}


def _canary(at: Situation, begun: Decision) -> Share:
    given, index = canary_steps(at), begun.step or 0
    held = share(at.replicas, given[index].weight) if index < len(given) else Share(at.replicas, at.replicas)
    if at.now < pause_ends(at, begun):
        return held
    after = upcoming(at, begun)
    grown = share(at.replicas, after.weight).candidate if after else max(1, at.replicas)
    return Share(held.stable, max(grown, held.candidate))


def _rolling(at: Situation, candidate: str) -> Share:
    live = at.deployments.get(candidate)
    made = rolled(at.replicas, at.ready(candidate), len(at.pods(at.serving)))
    reached = min(live.spec.replicas, max(1, at.replicas)) if live else 0
    return Share(made.stable, max(made.candidate, reached))


def fault(at: Situation, begun: Decision) -> Fault | None:
    """Why the candidate should get no more requests: what is watched in a bake is watched at each step."""
    return health.shared_fault(at, begun.candidate or "", begun.time) if at.replicas else None


def told(at: Situation, begun: Decision) -> str:
    """One sentence on how the requests are shared now."""
    new, old = at.ready(begun.candidate), at.ready(begun.to)
    text = f"{new} ready pods of {begun.candidate} and {old} of {begun.to} share the requests"
    given, index = canary_steps(at), begun.step or 0
    if begun.mode != "Canary" or index >= len(given):
        return text
    return f"step {index + 1} of {len(given)}, {given[index].weight} %: {text}"
