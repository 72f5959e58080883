"""Which strategy an attempt goes by, and how many pods each version has under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from topgraft.rollout import recreate
from topgraft.rollout.views import Decision

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

Strategy = Literal["BlueGreen", "Canary", "Rolling", "Recreate"]


def step(at: Situation) -> Decision | None:
    """The step that the candidate is at; None before the first one, and once another version or attempt is wanted."""
    decision, candidate = at.decision, at.candidate
    if decision is None or decision.direction != "Step" or candidate is None:
        return None
    wanted = (candidate.metadata.name, at.goal.attempt)
    return decision if (decision.candidate, decision.attempt) == wanted else None


def strategy(at: Situation) -> Strategy:
    """How the candidate comes. An attempt that has begun goes on the way on which it began."""
    candidate, begun = at.candidate, step(at)
    if begun is not None and begun.mode is not None:
        return begun.mode
    if candidate is None or at.serving is None:
        return "BlueGreen"
    if recreate.asked_for(at, candidate):
        return "Recreate"
    if at.replicas == 0:
        return "BlueGreen"
    if recreate.lacks_room(at, candidate) and at.preflighted:
        return "Recreate"
    return at.model.spec.strategy.type


def resized(at: Situation, sizes: dict[str, int], *, preparing: bool) -> dict[str, int]:
    """The sizes of a rollout of two complete copies, as the strategy changes them."""
    decision, candidate = at.decision, at.candidate
    if decision is None:
        return sizes
    if candidate is not None and preparing and not at.baking:
        name = candidate.metadata.name
        if strategy(at) == "Recreate":
            if step(at) is not None:
                return recreate.sizes(at, name)
            if recreate.asked_for(at, candidate):
                sizes = {version: size for version, size in sizes.items() if version != name}
    if decision.mode == "Recreate":
        if decision.direction == "Forward" and at.wanted != decision.origin:
            # A warm standby would hold the room or the volume for which the old pods were stopped.
            sizes = {version: size for version, size in sizes.items() if version != decision.origin}
        elif recreate.restarts(at):
            sizes = {**sizes, decision.to: 0}
    return sizes
