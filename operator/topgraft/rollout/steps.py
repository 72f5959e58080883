"""The decisions between the first look at a candidate and its switch, under a strategy that has such steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.rollout import live, recreate, routing, sharing
from topgraft.rollout.strategy import backs_off, pods_before_requests, step, strategy
from topgraft.rollout.termination import MESSAGE_LIMIT
from topgraft.rollout.verifying import rehearsed
from topgraft.rollout.views import Decision, Mode

if TYPE_CHECKING:
    from topgraft.rollout.faults import Fault
    from topgraft.rollout.situation import Situation

Told = tuple[Decision, tuple[str, str]]
"""A decision, and type and reason of the event that tells it."""


def abandoned(at: Situation) -> Told | None:
    """The candidate of the step that the Service carries is no longer wanted, or has failed: back to the stable one.

    Invariant: whatever is wanted next starts from the stable version alone.
    """
    decision = at.decision
    if decision is None or decision.direction != "Step" or step(at) is not None:
        return None
    if decision.splits and at.ready(decision.to) == 0 and at.ready(decision.candidate) > 0:
        # Whatever is wanted, requests are answered first.
        return None
    failed = at.failure_of(decision.candidate, decision.attempt)
    reason, text = "Superseded", f"{at.wanted} is wanted instead of {decision.candidate}"
    if at.wanted == decision.candidate and decision.attempt == at.goal.attempt:
        reason, text = "EnvironmentNotReady", f"the cluster had no room for the next step of {decision.candidate}"
        if decision.routed and (hindrance := routing.fault(at)):
            text = f"the next step of {decision.candidate} was not taken in time: {hindrance.message}"
        if decision.routed and routing.asked(at) is None:
            reason, text = "Superseded", "spec.serving.httpRoute, which gave the share, was removed"
    if failed is not None:
        reason, text = failed.reason, failed.message or failed.reason
    return _back(at, decision, reason, text, failed=failed is not None)


def failed(at: Situation) -> Told | None:
    """The candidate has a share of the requests and is not healthy: it loses it at once."""
    begun = step(at)
    if begun is None or not begun.splits or not at.policy.automatic:
        return None
    fault = sharing.fault(at, begun)
    if fault is None or (at.ready(begun.to) == 0 and at.ready(begun.candidate) > 0):
        return None
    return _back(at, begun, fault.reason, fault.message, failed=fault.content)


def _back(at: Situation, decision: Decision, reason: str, text: str, *, failed: bool) -> Told:
    back = Decision(
        attempt=decision.attempt,
        direction="Back",
        to=decision.to,
        origin=decision.candidate,
        reason=reason,
        message=text[:MESSAGE_LIMIT],
        leaves="Failed" if failed else "Abandoned",
        mode="Recreate" if decision.mode == "Recreate" else None,
        routed=decision.routed,
        time=at.now,
    )
    return back, ("Warning", "RolledBack") if failed else ("Normal", "SwitchedBack")


def due(at: Situation, *, verified: bool) -> bool:
    """Whether the candidate has passed all that is asked before its first step."""
    how = strategy(at)
    if at.candidate is None or at.serving is None or at.baking or step(at) is not None or backs_off(at):
        return False
    if how == "Recreate":
        return at.preflighted and rehearsed(at)
    ready = at.ready(at.candidate.metadata.name)
    return how in ("Canary", "Rolling") and verified and ready >= pods_before_requests(at)


def onward(at: Situation, *, verified: bool) -> Told | None:
    """The next step of the candidate: the first, or the one after a pause, once its pods are ready."""
    begun, candidate = step(at), at.candidate
    if begun is not None:
        return _next_canary_step(at, begun)
    if candidate is None or at.serving is None or not due(at, verified=verified):
        return None
    name, how = candidate.metadata.name, strategy(at)
    if how == "Recreate":
        text = f"the pods of {at.serving} end now; nothing answers until those of {name} are ready"
        return _step(at, "Recreate", "Recreating", text)
    if any(pod.version != at.serving for pod in recreate.others(at, name)):
        # A standby of an earlier rollout would get requests, too: it is on its way out.
        return None
    if how == "Rolling":
        text = f"the pods of {name} take the place of those of {at.serving}, a few at a time"
        return _step(at, "Rolling", "Rolling", text)
    if sharing.by_route(at) and not routing.in_force(at):
        return None
    return _canary_step(at, 0)


def _next_canary_step(at: Situation, begun: Decision) -> Told | None:
    after, name = sharing.upcoming(at, begun), begun.candidate or ""
    if after is None or not sharing.passed(at, begun) or sharing.fault(at, begun) is not None:
        return None
    if at.ready(name) < sharing.pods_for(at, after.weight, begun).candidate:
        return None
    return _canary_step(at, (begun.step or 0) + 1)


def _canary_step(at: Situation, index: int) -> Told:
    weight = sharing.canary_steps(at)[index].weight
    begun = step(at)
    pods = sharing.pods_for(at, weight, begun)
    text = f"{weight} % of the requests: {pods.candidate} of {pods.candidate + pods.stable} pods"
    if sharing.by_route(at, begun):
        text = f"{text}, by HTTPRoute {at.model.metadata.name!r}"
        return _step(at, "Canary", "CanaryStep", text, index, routed=True)
    return _step(at, "Canary", "CanaryStep", f"{text} ({pods.percent} %)", index)


def _step(at: Situation, mode: Mode, reason: str, text: str, index: int | None = None, *, routed: bool = False) -> Told:
    assert at.serving is not None
    assert at.candidate is not None
    decision = Decision(
        attempt=at.goal.attempt,
        direction="Step",
        to=at.serving,
        reason=reason,
        message=text,
        mode=mode,
        candidate=at.candidate.metadata.name,
        step=index,
        routed=routed or None,
        time=at.now,
        baseline=live.baseline(at),
    )
    return decision, ("Warning" if mode == "Recreate" else "Normal", reason)


def complete(at: Situation) -> bool:
    """Whether the strategy has no step left before the candidate takes all requests."""
    begun = step(at)
    if begun is not None:
        return sharing.finished(at, begun) and not (begun.splits and sharing.fault(at, begun))
    return strategy(at) == "BlueGreen"


def way_back(at: Situation, fault: Fault | None) -> str | None:
    """The version to start again after a failure in the bake that no second copy was kept for."""
    decision = at.decision
    if decision is None or decision.mode != "Recreate" or not at.baking:
        return None
    # Where the cluster is to blame another start of pods would end no better.
    return at.stable if fault is None or fault.content else None


def stopped(at: Situation) -> str | None:
    """Why nothing answers, where that is the strategy's doing."""
    decision = at.decision
    if decision is None or at.ready(at.serving) or at.replicas == 0 or decision.mode != "Recreate":
        return None
    if decision.direction == "Step":
        return f"the pods of {at.serving} were stopped for {decision.candidate}, nothing answers until these are ready"
    if decision.direction == "Back":
        return f"{at.serving} is started again in place of {decision.origin}, nothing answers until its pods are ready"
    return None
