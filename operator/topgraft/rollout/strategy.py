"""Which strategy an attempt goes by, and how many pods each version has under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from topgraft.rollout import gate, recreate, routing, sharing
from topgraft.rollout.views import Decision

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

Strategy = Literal["BlueGreen", "Canary", "Rolling", "Recreate"]


def step(at: Situation) -> Decision | None:
    """The step that the candidate is at; None before the first one, and once another version or attempt is wanted."""
    decision, candidate = at.decision, at.candidate
    if decision is None or decision.direction != "Step" or candidate is None or backs_off(at):
        return None
    if decision.routed and routing.asked(at) is None:
        return None
    wanted = (candidate.metadata.name, at.goal.attempt)
    return decision if (decision.candidate, decision.attempt) == wanted else None


def backs_off(at: Situation) -> bool:
    """Whether the cluster could not do it in time, so that the candidate waits for its next try."""
    record = at.rollout
    return record is not None and record.retry_time is not None and at.now < record.retry_time


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
    if at.model.spec.strategy.type == "Canary" and at.goal.trigger == "Fallback":
        # Steps and their pauses are for what is new, not for a way back.
        return "BlueGreen"
    return at.model.spec.strategy.type


def pods_before_requests(at: Situation) -> int:
    """How many pods of the candidate stand ready before the first request reaches one."""
    how = strategy(at)
    return sharing.first_size(at, how) if how in ("Canary", "Rolling") else max(1, at.replicas)


def by_route(at: Situation) -> bool:
    """Whether the candidate gets its share by the Model's HTTPRoute."""
    return strategy(at) == "Canary" and sharing.by_route(at, step(at))


def resized(at: Situation, sizes: dict[str, int], *, preparing: bool) -> dict[str, int]:
    """The sizes of a rollout of two complete copies, as the strategy changes them. What a Gateway may still send
    requests to stays as it is."""
    sizes, left = _resized(at, sizes, preparing=preparing), routing.lingering(at)
    live = at.deployments.get(left or "")
    return {left: live.spec.replicas, **sizes} if left and live else sizes


def _resized(at: Situation, sizes: dict[str, int], *, preparing: bool) -> dict[str, int]:
    decision, candidate = at.decision, at.candidate
    if decision is None:
        return sizes
    if decision.splits and (step(at) is None or not preparing):
        # Until the Service has left it the share of an abandoned candidate stays, and no third version gets one.
        return _kept(at, decision)
    if candidate is not None and preparing and not at.baking:
        name = candidate.metadata.name
        match strategy(at), step(at):
            case "Recreate", None:
                if recreate.asked_for(at, candidate):
                    sizes = _without(sizes, name)
            case "Recreate", _:
                return recreate.sizes(at, name)
            case "Canary" | "Rolling" as how, None:
                sizes = _before_sharing(at, sizes, name, how)
            case "Canary" | "Rolling", begun if begun is not None:
                return sharing.sizes(at, begun, name)
    if decision.mode == "Rolling" and decision.direction == "Forward" and at.baking and at.wanted == at.serving:
        sizes = {**sizes, str(at.stable): min(at.replicas, at.policy.standby_replicas)}
    if decision.mode == "Recreate":
        if decision.direction == "Forward" and at.wanted != decision.origin:
            # A warm standby would hold the room or the volume for which the old pods were stopped.
            sizes = _without(sizes, decision.origin)
        elif recreate.restarts(at):
            sizes = {**sizes, decision.to: 0}
    return sizes


def _without(sizes: dict[str, int], version: str | None) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if name != version}


def _kept(at: Situation, decision: Decision) -> dict[str, int]:
    live = at.deployments.get(decision.candidate or "")
    left = {decision.candidate: live.spec.replicas} if live and decision.candidate else {}
    return {decision.to: at.replicas, **left}


def _before_sharing(at: Situation, sizes: dict[str, int], candidate: str, how: str) -> dict[str, int]:
    """No larger than the first step needs. The standby of an earlier rollout goes when that step is due: the Service is
    about to select every serving pod of the Model."""
    if candidate not in sizes:
        return sizes
    first = sharing.first_size(at, how)
    if at.preflighted and at.ready(candidate) >= first and gate.before_traffic(at) is None:
        sizes = {name: size for name, size in sizes.items() if name in (candidate, at.serving)}
    return {**sizes, candidate: first}
