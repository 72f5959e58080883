"""The one write that moves traffic: when to switch, when to go back, when to repair. Nothing else is decided here."""

from __future__ import annotations

from dataclasses import dataclass

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.rollout import gate, live, render, steps
from topgraft.rollout.condemned import condemned, defective, report_of_serving
from topgraft.rollout.instructions import Event, Plan, Switch
from topgraft.rollout.situation import Situation
from topgraft.rollout.strategy import step, strategy
from topgraft.rollout.termination import MESSAGE_LIMIT
from topgraft.rollout.verifying import passed
from topgraft.rollout.views import APPLIED, DECISION, Decision, Leaves

REPAIR_SECONDS = 5.0


@dataclass(frozen=True)
class Move:
    """A decision with the event that tells of it. A `repair` is looked at again after a pause: whoever else writes
    the Service must not be able to keep the operator busy."""

    decision: Decision
    event: tuple[str, str] | None
    repair: bool = False


def next_switch(at: Situation) -> Plan | None:
    """The Service's next write, alone in its turn: the statuses follow once it is done and can be told truly."""
    move = _next_move(at)
    if move is None:
        return None
    decision = move.decision
    seen = at.service.metadata.annotations.get(DECISION) if at.service else None
    write = Switch(render.service(at.model, decision), seen)
    return Plan((write,), _events(at, move), REPAIR_SECONDS if move.repair else 0.0)


def _events(at: Situation, move: Move) -> tuple[Event, ...]:
    if move.event is None:
        return ()
    kind, reason = move.event
    decision = move.decision
    way = f"{decision.origin} → {decision.to}" if decision.origin else decision.to
    text = f"{way}: {decision.reason}: {decision.message}"
    return (Event(regarding(at), "Warning" if kind == "Warning" else "Normal", reason, text),)


def regarding(at: Situation) -> dict[str, str]:
    """Events are about the upgrade that gave the order, else about the Model."""
    return reference(at.target.order or at.model)


def reference(subject: AdapterUpgrade | Model) -> dict[str, str]:
    return {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "namespace": subject.metadata.namespace,
        "name": subject.metadata.name,
        "uid": subject.metadata.uid,
    }


def _next_move(at: Situation) -> Move | None:
    if at.decision is None:
        return _forward(at) if at.service is None else None
    gone = _leave(at) or _disown(at) or _told(steps.abandoned(at) or steps.failed(at))
    return gone or _return(at) or _onward(at) or _repair(at)


def _told(step: steps.Told | None) -> Move | None:
    return Move(*step) if step else None


def _onward(at: Situation) -> Move | None:
    if at_gate(at) and gate.before_traffic(at):
        return None
    return _told(steps.onward(at, verified=verified(at))) or _forward(at)


def at_gate(at: Situation) -> bool:
    """Whether the next decision is the first of its attempt to touch what serves."""
    if at.candidate is None or at.baking or step(at) is not None:
        return False
    return complete(at) if strategy(at) == "BlueGreen" else steps.due(at, verified=verified(at))


def _leave(at: Situation) -> Move | None:
    """What serves has failed and the way back is ready. Decided on the health of the version gone back to:
    that the new one has no ready pod at all is a reason to go, never one to wait."""
    fault = at.serving_fault if at.policy.automatic else None
    back = at.way_back or steps.way_back(at, fault)
    if back is None or fault is None:
        return None
    leaves: Leaves = "Failed" if fault.content else "Abandoned"
    decision = _back(at, back, (fault.reason, fault.message), leaves, attempt=at.attempt_of_serving)
    return Move(decision, ("Warning", "RolledBack"))


def _back(at: Situation, to: str, why: tuple[str, str], leaves: Leaves, *, attempt: str) -> Decision:
    """The decision for `to` in the place of what serves. `why`: reason and text; `leaves`: what becomes of the other.

    Without a ready pod of `to` the other's end first: nothing else makes room for it.
    """
    reason, text = why
    return Decision(
        attempt=attempt,
        direction="Back",
        to=to,
        origin=at.serving,
        reason=reason,
        message=text[:MESSAGE_LIMIT],
        leaves=leaves,
        mode=None if at.ready(to) else "Recreate",
        defect=report_of_serving(at),
        time=at.now,
    )


def _disown(at: Situation) -> Move | None:
    """A person reported that what serves must not, whatever `rollback.automatic` says of the operator's own judgement.

    What serves may be in the best of health: it is left as soon as the other side can carry the load, not before.
    """
    back = at.way_back
    if condemned(at) is None or back is None or defective(at, back) or not at.carries(back):
        return None
    return Move(_condemning(at, back), ("Warning", "RolledBack"))


def _condemning(at: Situation, back: str) -> Decision:
    failure = condemned(at)
    assert failure is not None
    return _back(at, back, (failure.reason, failure.message or ""), "Failed", attempt=at.attempt_of_serving)


def _return(at: Situation) -> Move | None:
    """Somebody wants another version: an unfinished bake is abandoned first, a warm standby takes over at once."""
    if at.wanted == at.serving:
        return None
    back = at.stable if at.baking else at.wanted if at.warm else None
    if back is None or (at.ready(back) == 0 and steps.way_back(at, None) is None):
        return None
    failed = at.failure_of(at.serving, at.attempt_of_serving) if at.baking else None
    if failed is not None:
        why = (failed.reason, failed.message or "")
        return Move(_back(at, back, why, "Failed", attempt=at.attempt_of_serving), ("Warning", "RolledBack"))
    reason = "Superseded" if at.baking else at.goal.trigger
    leaves: Leaves = "Abandoned" if at.baking else "Standby"
    return Move(_back(at, back, (reason, _why(at)), leaves, attempt=at.goal.attempt), ("Normal", "SwitchedBack"))


def _why(at: Situation) -> str:
    orders = {
        "Pin": "pinned by the Model's spec.serving.version",
        "Upgrade": f"asked for by AdapterUpgrade {at.target.governing.metadata.name if at.target.governing else ''!r}",
        "Fallback": "the target failed",
        "Base": "it is the base version",
    }
    return f"{at.wanted} is wanted: {orders[at.goal.trigger]}"


def _forward(at: Situation) -> Move | None:
    """The candidate is verified and complete: it takes the traffic."""
    candidate = at.candidate
    if candidate is None or at.baking or not complete(at) or not steps.complete(at) or live.awaited(at):
        return None
    name, first, how = candidate.metadata.name, at.decision is None, strategy(at)
    if condemned(at) is not None and at.goal.trigger == "Fallback":
        return Move(_condemning(at, name), ("Warning", "RolledBack"))
    decision = Decision(
        attempt=at.goal.attempt,
        direction="First" if first else "Forward",
        to=name,
        origin=at.serving,
        reason="InitialDeployment" if first else at.goal.trigger,
        message="verified and ready",
        mode=None if how == "BlueGreen" else how,
        routed=at.decision.routed if at.decision is not None and step(at) is not None else None,
        time=at.now,
        baseline=live.baseline(at),
    )
    return Move(decision, ("Normal", "TrafficSwitched"))


def complete(at: Situation) -> bool:
    """Whether the candidate could take all the traffic now: verified, and with all its pods ready."""
    candidate = at.candidate
    return candidate is not None and verified(at) and at.ready(candidate.metadata.name) >= max(1, at.replicas)


def verified(at: Situation) -> bool:
    """Whether the candidate may get requests: preflight and verification have nothing against it."""
    return at.candidate is not None and at.proved and passed(at)


def _repair(at: Situation) -> Move | None:
    """Somebody else wrote the Service, or the Model's ports changed: the same decision is written again."""
    service, decision = at.service, at.decision
    if decision is None:
        return None
    if service is None:
        return Move(decision, ("Warning", "ServiceRepaired"), repair=True)
    body = render.service(at.model, decision)
    intact = (
        service.metadata.annotations.get(APPLIED) == body["metadata"]["annotations"][APPLIED]
        and service.metadata.annotations.get(DECISION) == body["metadata"]["annotations"][DECISION]
        and service.spec.selector == body["spec"]["selector"]
        # Ports merge by number: one that somebody else added under his own name stays, and is his.
        and {(p["name"], p["port"], p["targetPort"]) for p in body["spec"]["ports"]}
        <= {(p.name, p.port, p.target_port) for p in service.spec.ports}
    )
    if intact:
        return None
    drifted = service.spec.selector != body["spec"]["selector"]
    return Move(decision, ("Warning", "ServiceRepaired") if drifted else None, repair=True)
