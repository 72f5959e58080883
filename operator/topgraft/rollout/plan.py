"""One look: from what is observed to what is written. Pure: no clock, no I/O; the same input gives the same plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from topgraft.rollout import branches, condemned, defect, ending, live, mlflow, routing, sandbox
from topgraft.rollout.aliases import alias_events
from topgraft.rollout.checkstatus import report_event
from topgraft.rollout.children import children
from topgraft.rollout.conditions import stamp
from topgraft.rollout.history import outdated
from topgraft.rollout.instructions import Apply, ApplyStatus, Delete, Event, Plan, Write
from topgraft.rollout.observed import Observed
from topgraft.rollout.progress import Phase, Progress, progress
from topgraft.rollout.situation import Situation
from topgraft.rollout.status import Ours, due, orphan, statuses
from topgraft.rollout.switch import next_switch, reference, regarding
from topgraft.rollout.trained import remembered

WAIT_SECONDS = 5.0


def plan(observed: Observed, now: datetime) -> Plan:
    """Decide the next writes for one Model.

    A turn either moves traffic, and does nothing else, or brings children and statuses up to date. The Service comes
    first because users wait for it; everything else is told from the decision that it carries, also after a crash.
    """
    model = observed.model
    if model is None:
        return Plan(tuple(_orphans(observed, now)))
    if model.metadata.deletion_timestamp is not None:
        return Plan()
    at = Situation(remembered(observed, model), model, now)
    return replace(_decide(at), watch=live.watch(at), registration=mlflow.due(at))


def _decide(at: Situation) -> Plan:
    # A Service that cannot be written is told of, not asked for in a loop; it is tried again by itself.
    name = at.seen.name
    move = None if f"Service/{name}" in at.seen.refusals or ending.ends(at, "Service", name) else next_switch(at)
    if move is not None:
        return move
    made = _settle(at)
    # The route before all else: after a rollback it still sends requests to what was left.
    return replace(made, writes=(*routing.route_writes(at), *made.writes))


def _settle(at: Situation) -> Plan:
    step = progress(at)
    if step.phase is Phase.DERIVING:
        return Plan(children(at, preparing=False))
    told = statuses(at, step)
    if step.failed is not None:
        # The failure is remembered before anything is torn down, or a crash in between would try it again.
        return Plan(told, _events(at, step), 0.0)
    if told and step.phase is Phase.BACKOFF and at.decision is not None and at.decision.direction == "Step":
        # So is the pause: the Service leaves the candidate before its pods end.
        return Plan(told, _events(at, step), 0.0)
    return Plan(_ordered(at, step, told), _events(at, step), _look_again(at, step))


def _ordered(at: Situation, step: Progress, told: tuple[ApplyStatus, ...]) -> tuple[Write, ...]:
    """A new Deployment before all: its pods take the longest, and the statuses can be told while they start.

    With what its pods read when they start.
    """
    made = children(at, preparing=step.preparing)
    new = [w for w in made if isinstance(w, Apply) and w.new]
    names = {(w.body["kind"], w.body["metadata"]["name"]) for w in new}
    # What is new may need a name that something else of ours still has.
    clearing = [w for w in made if isinstance(w, Delete) and (w.kind, w.name) in names]
    first: tuple[Write, ...] = (*clearing, *(w for w in new if w.body["kind"] in ("ConfigMap", "Deployment")))
    return (*first, *told, *(write for write in made if write not in first), *outdated(at))


def _orphans(observed: Observed, now: datetime) -> Iterator[ApplyStatus]:
    objects: tuple[Ours, ...] = (*observed.versions, *observed.upgrades)
    for obj in objects:
        said = stamp(orphan(observed.name), obj.status.conditions, obj.metadata.generation, now)
        kept = obj.status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
        body = {**kept, "observedGeneration": obj.metadata.generation, "conditions": said}
        if write := due(obj, body):
            yield write


def _look_again(at: Situation, step: Progress) -> float | None:
    """Seconds until time alone changes the answer. What is refused or waits outside is asked again by itself."""
    times = [step.until] if step.until else []
    ends = at.standby_ends
    if ends is not None and at.previous in at.deployments:
        times.append(ends)
    times += [time for time in (routing.settles(at), routing.breaks(at)) if time is not None]
    times += sandbox.look_again(at)
    # A moment that has passed without effect waits for something else, which an event will tell; no busy looks.
    waits = [(time - at.now).total_seconds() or WAIT_SECONDS for time in times if time >= at.now]
    if (
        step.phase in (Phase.WAITING, Phase.BLOCKED, Phase.QUEUED, Phase.REQUEUED)
        or at.seen.refusals
        or at.target.question
        or branches.holds(at)
    ):
        waits.append(WAIT_SECONDS)
    if step.phase in (Phase.BAKING, Phase.PREPARING, Phase.RETRYING) or at.checking is not None:
        waits.append(WAIT_SECONDS)
    return min(waits, default=None)


def _events(at: Situation, step: Progress) -> tuple[Event, ...]:
    """Transitions only, read off the status as it was: a repeated look finds it written and says nothing."""
    return (*_reports(at), *_of_the_model(at), *_transition(at, step))


def _of_the_model(at: Situation) -> Iterator[Event]:
    """What has nothing to do with a rollout."""
    about = reference(at.model)
    yield from alias_events(at, about)
    yield from sandbox.sandbox_events(at, about)


def _reports(at: Situation) -> Iterator[Event]:
    if at.defect is not None:
        text = defect.failure_text(at.defect)
        if condemned.reported(at, at.defect.version):
            yield Event(regarding(at), "Warning", defect.REASON, text)
        else:
            yield Event(regarding(at), "Normal", "DefectRecorded", text)
    text = defect.read(at.model.metadata.annotations)[1]
    if text and not any(c.message == text for c in at.model.status.conditions):
        yield Event(regarding(at), "Warning", "DefectMalformed", text)


def _transition(at: Situation, step: Progress) -> tuple[Event, ...]:
    old, to = at.model.status.rollout, at.goal.version
    about = regarding(at)
    if step.failed is not None:
        return (Event(about, "Warning", step.failed.reason, f"{to}: {step.failed.message}"),)
    told = {c.reason for c in at.model.status.conditions}
    if step.phase is Phase.WAITING and step.reason not in told:
        return (Event(about, "Warning", step.reason, step.message),)
    hold = step if step.held else at.deferred
    if hold is not None and hold.reason not in told:
        return (Event(about, "Normal", hold.reason, hold.message),)
    if step.phase is Phase.PREPARING and to is not None and (old is None or old.to != to):
        return (Event(about, "Normal", "RolloutStarted", f"{at.stable or 'nothing'} → {to}"),)
    if at.baked:
        return (Event(about, "Normal", "RolloutSucceeded", f"{at.serving} is stable now"),)
    return tuple(report_event(at, about))
