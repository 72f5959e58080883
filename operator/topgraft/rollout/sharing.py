"""Canary and Rolling: both versions get requests, and the share of the new one grows.

The Service selects the pods of both; or, in a Canary of a Model with an HTTPRoute, that route weighs the two Services.

The step that is held, and since when, stands in the Service's decision; a restart of the operator changes no pause.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from topgraft.api.policy import CanaryStep
from topgraft.rollout import health, routing
from topgraft.rollout.share import Share, rolled, routed_share, share, surge
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
    return pods_for(at, given[0].weight).candidate


def by_route(at: Situation, begun: Decision | None = None) -> bool:
    """Whether a canary's share is given by the HTTPRoute. One that has begun goes on the way on which it began."""
    return bool(begun.routed) if begun is not None else routing.asked(at) is not None


def pods_for(at: Situation, weight: int, begun: Decision | None = None) -> Share:
    """Pods of both versions while the new one has `weight` percent of the requests."""
    return routed_share(at.replicas, weight) if by_route(at, begun) else share(at.replicas, weight)


def held_since(at: Situation, begun: Decision) -> datetime | None:
    """Since when the share is given; None while Gateways have not taken it over."""
    if not begun.routed:
        return begun.time
    record = at.model.status.rollout
    if record is not None and record.step_time is not None:
        of_this_step = (begun.candidate, begun.attempt, begun.step)
        if (record.to, record.attempt_hash, record.canary_step) == of_this_step:
            return record.step_time
    return at.now if routing.in_force(at) else None


def pause_ends(at: Situation, begun: Decision) -> datetime:
    """When the step has been held for long enough; at once where it is no longer in the spec."""
    given, index = canary_steps(at), begun.step or 0
    seconds = given[index].pause_seconds if begun.mode == "Canary" and index < len(given) else 0
    since = held_since(at, begun)
    return at.now + timedelta(seconds=max(1, seconds)) if since is None else since + timedelta(seconds=seconds)


def due_since(at: Situation, begun: Decision) -> datetime:
    """From when the cluster is waited for: for the step itself, and after its pause for what the next one needs."""
    return begun.time if held_since(at, begun) is None else pause_ends(at, begun)


def upcoming(at: Situation, begun: Decision) -> CanaryStep | None:
    """The step after the one that is held; None after the last."""
    given, index = canary_steps(at), (begun.step or 0) + 1
    return given[index] if begun.mode == "Canary" and index < len(given) else None


def finished(at: Situation, begun: Decision) -> bool:
    """Whether no step is left before all requests go to the candidate."""
    if begun.mode != "Canary":
        return True
    return upcoming(at, begun) is None and passed(at, begun)


def passed(at: Situation, begun: Decision) -> bool:
    """Whether the step has been held for its time, and is in force."""
    return at.now >= pause_ends(at, begun) and (not begun.routed or routing.in_force(at))


def sizes(at: Situation, begun: Decision, candidate: str) -> dict[str, int]:
    """Pods of both versions at this step. The next step's pods start when the pause is over, and it begins with them
    ready."""
    made = _rolling(at, candidate) if begun.mode == "Rolling" else _canary(at, begun)
    stable = made.stable if at.replicas else 0
    return {begun.to: stable, candidate: made.candidate}


def _canary(at: Situation, begun: Decision) -> Share:
    given, index = canary_steps(at), begun.step or 0
    held = pods_for(at, given[index].weight, begun) if index < len(given) else Share(at.replicas, at.replicas)
    if at.now < pause_ends(at, begun):
        return held
    after = upcoming(at, begun)
    grown = pods_for(at, after.weight, begun).candidate if after else max(1, at.replicas)
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
    if begun.routed:
        text = f"{text} by HTTPRoute {at.model.metadata.name!r}"
    given, index = canary_steps(at), begun.step or 0
    if begun.mode != "Canary" or index >= len(given):
        return text
    return f"step {index + 1} of {len(given)}, {given[index].weight} %: {text}"
