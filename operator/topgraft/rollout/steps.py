"""The decisions between the first look at a candidate and its switch, under a strategy that has such steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.rollout.strategy import step, strategy
from topgraft.rollout.termination import MESSAGE_LIMIT
from topgraft.rollout.verifying import rehearsed
from topgraft.rollout.views import Decision

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
    failed = at.failure_of(decision.candidate, decision.attempt)
    reason, text = "Superseded", f"{at.wanted} is wanted instead of {decision.candidate}"
    if failed is not None:
        reason, text = failed.reason, failed.message or failed.reason
    back = Decision(
        attempt=decision.attempt,
        direction="Back",
        to=decision.to,
        origin=decision.candidate,
        reason=reason,
        message=text[:MESSAGE_LIMIT],
        leaves="Failed" if failed else "Abandoned",
        mode="Recreate" if decision.mode == "Recreate" else None,
        time=at.now,
    )
    return back, ("Warning", "RolledBack") if failed else ("Normal", "SwitchedBack")


def started(at: Situation) -> Told | None:
    """The first step of a candidate that has passed what is asked before it."""
    candidate = at.candidate
    if candidate is None or at.serving is None or at.baking or step(at) is not None:
        return None
    if strategy(at) == "Recreate" and at.preflighted and rehearsed(at):
        name = candidate.metadata.name
        text = f"the pods of {at.serving} end now; nothing answers until those of {name} are ready"
        decision = Decision(
            attempt=at.goal.attempt,
            direction="Step",
            to=at.serving,
            reason="Recreating",
            message=text,
            mode="Recreate",
            candidate=name,
            time=at.now,
        )
        return decision, ("Warning", "Recreating")
    return None


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
