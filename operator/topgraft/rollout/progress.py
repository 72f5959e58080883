"""How far a Model is: one word, one reason, one sentence. What the statuses of the three kinds tell comes from here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from topgraft.rollout import ending, gate, live, routing, sharing, verifying
from topgraft.rollout.children import rolls
from topgraft.rollout.conditions import rfc3339
from topgraft.rollout.faults import Fault, faults_of, refusal_fault, worst
from topgraft.rollout.health import SLOW, loads_until, preparation_fault, runs_without_being_ready
from topgraft.rollout.observed import Observed
from topgraft.rollout.preflight import recheck_name
from topgraft.rollout.situation import Situation
from topgraft.rollout.steps import stopped
from topgraft.rollout.strategy import step, strategy
from topgraft.rollout.switch import at_gate
from topgraft.rollout.views import RETRY_AT, Decision

BACKOFF_SECONDS = 60
BACKOFF_LIMIT_SECONDS = 3600
_NEXT_TRY = re.compile(r"; (?:tried again at|try \d+ runs)")
"""Where, in what is told of a try that failed, its cause ends."""
HELD_STEP = "Held"
"""What the record of a rollout says while a gate keeps it from its traffic: no deadline runs, no slot is taken."""
QUEUED_STEP = "Queued"
"""What it says while a retry that is due waits for a slot."""


class Phase(Enum):
    """Where a look leaves a Model. Internal: users read conditions."""

    UNDECIDED = "Undecided"
    BLOCKED = "Blocked"
    QUEUED = "Queued"
    REQUEUED = "Requeued"
    CLOSED = "Closed"
    HELD = "Held"
    DERIVING = "Deriving"
    PREPARING = "Preparing"
    WAITING = "Waiting"
    BACKOFF = "Backoff"
    RETRYING = "Retrying"
    SETTLING = "Settling"
    BAKING = "Baking"
    FAILED = "Failed"
    STEADY = "Steady"


@dataclass(frozen=True)
class Progress:
    """`failed` is a content failure to remember for the candidate; `until` is when time alone changes the answer."""

    phase: Phase
    reason: str
    message: str
    failed: Fault | None = None
    until: datetime | None = None

    @property
    def preparing(self) -> bool:
        # A candidate whose Service is refused stays complete, or the next try to write it would find nothing to serve.
        preparing = (Phase.PREPARING, Phase.WAITING, Phase.RETRYING, Phase.HELD)
        return self.phase in preparing or self.reason == "ServiceNotOwned"

    @property
    def held(self) -> bool:
        """Whether a gate keeps the rollout from its next step: CLOSED before its start, HELD before its traffic."""
        return self.phase in (Phase.CLOSED, Phase.HELD)


def progress(at: Situation) -> Progress:
    """Name the phase. The order is that of what keeps the Model from its target, the hardest first."""
    target = at.target
    if (trouble := _service_trouble(at)) is not None:
        return trouble
    if text := at.mount_clash:
        return Progress(Phase.BLOCKED, "MountPathTaken", text)
    if target.version is None:
        return Progress(Phase.UNDECIDED, target.reason, target.message)
    if at.replaced(at.serving):
        text = f"ModelVersion {at.serving!r} was re-created with other content; what serves stays"
        text += ": give new content a name of its own"
        return Progress(Phase.BLOCKED, "VersionReplaced", text)
    refused = at.seen.refusals.get(f"ModelVersion/{target.version}", "")
    if (text := refused) and not at.bakes_on:
        return Progress(Phase.BLOCKED, "VersionRefused", f"ModelVersion {target.version!r}: {text}")
    if at.candidate is not None and not at.baking:
        return _preparing(at)
    if at.wanted not in (at.serving, None) and target.body is None:
        fault = _first_fault(at, at.wanted)
        text = f"going back from {at.serving} to {at.wanted}: {at.ready(at.wanted)} of {at.replicas} pods ready{fault}"
        return Progress(Phase.SETTLING, "RollingBack", text)
    if target.body is not None and at.failure is None and not refused:
        return Progress(Phase.DERIVING, "Deriving", f"making ModelVersion {target.version}")
    if at.baking and at.wanted == at.serving:
        if stuck := _stuck_bake(at):
            return stuck
        ends = at.bake_ends
        text = f"{at.serving} serves and is watched for {live.bake_seconds(at)} s; {at.stable} stays ready to take over"
        return _rechecking(at) if at.recheck_due else Progress(Phase.BAKING, "Baking", text, until=ends)
    if at.failure is not None:
        serves = stopped(at) or f"{at.serving or 'nothing'} serves"
        text = f"{target.version} failed: {at.failure.message or at.failure.reason}; {serves}"
        return Progress(Phase.FAILED, at.failure.reason, text)
    return _broken_limit(at) or _refused(at) or steady(at)


def _service_trouble(at: Situation) -> Progress | None:
    """Why the Service that carries the traffic cannot be written. A complete candidate is kept for when it can."""
    phase = Phase.WAITING if at.candidate is not None and not at.baking else Phase.BLOCKED
    if foreign_service(at.seen):
        text = at.seen.refusals[f"Service/{at.seen.name}"]
        return Progress(Phase.BLOCKED, "ServiceNotOwned", text)
    if text := at.seen.refusals.get(f"Service/{at.seen.name}", ""):
        reason = "QuotaExceeded" if "exceeded quota" in text else "ServiceRefused"
        return Progress(phase, reason, f"the Service {at.seen.name!r} cannot be written: {text}")
    if ending.ends(at, "Service", at.seen.name):
        return Progress(phase, ending.REASON, ending.text("Service", at.seen.name))
    return None


def _refused(at: Situation) -> Progress | None:
    """The governing upgrade may not have its say: what was asked for does not run, though all that serves is well."""
    refused = at.target.refused
    if refused is None or not refused.final:
        return None
    text = f"AdapterUpgrade {at.target.governing.metadata.name!r}: " if at.target.governing else ""
    return Progress(Phase.FAILED, refused.reason, f"{text}{refused.message}; {at.serving or 'nothing'} serves")


def _broken_limit(at: Situation) -> Progress | None:
    """After the bake, with no warm version to go to: the failure goes on record, and the way back begins from there."""
    found = live.cold_fault(at)
    if found is None:
        return None
    goes_back = at.policy.automatic and at.serving == at.target.version
    text = f"{at.serving} serves and is not healthy: {found.message}"
    return Progress(Phase.BLOCKED, found.reason, text, failed=found if goes_back else None)


def _stuck_bake(at: Situation) -> Progress | None:
    """A bake that cannot end by itself: rolling back is off or has nowhere to go, or pods are missing for too long."""
    if fault := at.serving_fault:
        return Progress(Phase.BLOCKED, fault.reason, f"{at.serving} serves and is not healthy: {fault.message}")
    deadline = timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds)
    if at.bake_ends is not None and at.now >= at.bake_ends + deadline and at.ready(at.serving) < at.replicas:
        text = f"the bake cannot end: {at.ready(at.serving)} of {at.replicas} pods of {at.serving} are ready"
        return Progress(Phase.BLOCKED, "PodsNotReady", f"{text}{_first_fault(at, at.serving)}")
    return None


def _rechecking(at: Situation) -> Progress:
    name = recheck_name(at.serving or "")
    pod = next((p for p in at.seen.pods if p.name == name), None)
    fault = worst(faults_of([pod], None, at.seen.pod_events)) if pod and pod.status.phase == "Pending" else None
    if text := at.seen.refusals.get(f"Pod/{name}"):
        fault = refusal_fault(f"Pod {name!r}", text, at.now)
    if at.recheck.error is not None:
        return Progress(Phase.BLOCKED, *at.recheck.error)
    if fault is not None:
        return Progress(Phase.BAKING, fault.reason, f"the artifacts cannot be read again: {fault.message}")
    ends = at.bake_ends
    if ends is not None and at.now < ends:
        text = f"{at.serving} serves and is watched for {at.policy.bake_seconds} s; its artifacts are read meanwhile"
        return Progress(Phase.BAKING, "Baking", text, until=ends)
    return Progress(Phase.BAKING, "Rechecking", f"the bake of {at.serving} is over; the artifacts are read once more")


def foreign_service(seen: Observed) -> bool:
    """Whether a Service of the Model's name belongs to somebody else: it is left alone, with all behind it."""
    return seen.refusals.get(f"Service/{seen.name}", "").startswith("NotOwned")


def _first_fault(at: Situation, version: str | None) -> str:
    return next((f": {f.reason}: {f.message}" for f in at.faults(version)), "")


def _preparing(at: Situation) -> Progress:
    candidate, record = at.candidate, at.rollout
    assert candidate is not None
    name = candidate.metadata.name
    told = _told_before(at)
    if record is not None and record.retry_time is not None and at.now < record.retry_time:
        return Progress(Phase.BACKOFF, "EnvironmentNotReady", told, until=record.retry_time)
    if record is None and (hold := gate.before_start(at)):
        return Progress(Phase.CLOSED, hold.reason, hold.message, until=hold.until)
    starts = record is None or record.retry_time is not None
    if starts and not at.seen.may_start and at.goal.trigger != "Fallback":
        if record is not None:
            return Progress(Phase.REQUEUED, "EnvironmentNotReady", told)
        return Progress(
            Phase.QUEUED, "Queued", f"{name} waits for its turn: as many rollouts run as the operator allows"
        )
    if (left := routing.lingering(at)) not in (None, name):
        text = f"{name} waits until no Gateway sends requests to {left} any more; {at.serving} serves"
        return Progress(Phase.SETTLING, "RouteSettling", text, until=routing.settles(at))
    if failed := _refusal(at) or verifying.failing(at) or _ended(at):
        return Progress(Phase.PREPARING, failed.reason, failed.message, failed=failed)
    if at_gate(at) and (hold := gate.before_traffic(at)):
        # Asked before the deadline: that one is for the cluster, not for a person.
        return Progress(Phase.HELD, hold.reason, hold.message, until=hold.until)
    running = record is not None and record.retry_time is None and record.step != HELD_STEP
    began = record.start_time if record is not None and running else at.now
    if (begun := step(at)) is not None:
        began = max(began, sharing.due_since(at, begun))
    deadline = began + timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds)
    fault = preparation_fault(at)
    if fault is None:
        deadline = max(deadline, loads_until(at, name))
    if at.now >= deadline and not _digesting(at) and not verifying.busy(at):
        return _deadline(at, name, fault, record.tries if record is not None else 0)
    until = min((at.now + timedelta(seconds=1)) if fault is not None and fault.content else deadline, deadline)
    if record is not None and record.tries:
        # Not ready until it succeeds: health that flaps with every retry would wake somebody each time.
        now = f", now: {fault.reason}: {fault.message}" if fault is not None else ""
        text = f"{_NEXT_TRY.split(told)[0]}; try {record.tries + 1} runs{now}; {at.serving or 'nothing'} serves"
        return Progress(Phase.RETRYING, "EnvironmentNotReady", text, until=until)
    return _under_way(at, name, fault, until)


def _told_before(at: Situation) -> str:
    """Why the last try ended: it stands nowhere but in the condition."""
    return next((c.message for c in at.model.status.conditions if c.reason == "EnvironmentNotReady"), "")


def _under_way(at: Situation, name: str, fault: Fault | None, until: datetime) -> Progress:
    down, begun = stopped(at), step(at)
    if fault is not None:
        text = f"{fault.message}; {down}" if down else fault.message
        return Progress(Phase.WAITING, fault.reason, text, until=until)
    if down:
        return Progress(Phase.PREPARING, "Recreating", down, until=until)
    text = f"{name}: the artifacts are read, the adapter is checked, pods start; {at.serving or 'nothing'} serves"
    if begun is not None and begun.splits:
        return _sharing(at, begun, until)
    if strategy(at) == "Recreate":
        text = f"{name}: the artifacts are read, the adapter is checked; then the pods of {at.serving} end first"
    return Progress(Phase.PREPARING, "Verifying", verifying.progress_text(at) or text, until=until)


def _sharing(at: Situation, begun: Decision, until: datetime) -> Progress:
    text, ends = sharing.told(at, begun), sharing.pause_ends(at, begun)
    if fault := sharing.fault(at, begun):
        text = f"{text}; {begun.candidate} is not healthy: {fault.message}"
        return Progress(Phase.WAITING, fault.reason, text, until=until)
    reason = "CanaryStep" if begun.mode == "Canary" else "Rolling"
    return Progress(Phase.PREPARING, reason, text, until=min(until, ends) if at.now < ends else until)


def _deadline(at: Situation, name: str, fault: Fault | None, tries: int) -> Progress:
    seconds = at.model.spec.strategy.progress_deadline_seconds
    if fault is None and not runs_without_being_ready(at, name):
        fault = Fault("PodsStarting", f"pods of {name} have no running container yet", False, at.now)
    if fault is None or fault.content:
        startup = at.model.spec.serving.probes.startup_seconds
        text = f"{name} was not ready within spec.strategy.progressDeadlineSeconds ({seconds} s), and its containers "
        text += f"ran for spec.serving.probes.startupSeconds ({startup} s): see their logs and the readinessPath, or "
        text += "give more"
        return Progress(Phase.PREPARING, "NotReady", text, failed=Fault("NotReady", text, True, at.now, True))
    if stopped(at):
        # What serves is never stopped twice for the same attempt unless somebody asks for it.
        text = f"{name} was not ready within {seconds} s: {fault.reason}: {fault.message}"
        failed = Fault("EnvironmentNotReady", text, True, at.now, True)
        return Progress(Phase.PREPARING, failed.reason, text, failed=failed)
    pause = min(BACKOFF_SECONDS * 2 ** min(tries, 10), BACKOFF_LIMIT_SECONDS)
    again = at.now + timedelta(seconds=pause)
    text = f"not ready within {seconds} s: {fault.reason}: {fault.message}; tried again at {rfc3339(again)}"
    text += f", or at once by another {RETRY_AT}; {at.serving or 'nothing'} serves"
    return Progress(Phase.BACKOFF, "EnvironmentNotReady", text, until=again)


def _digesting(at: Situation) -> bool:
    """Reading terabytes takes its time; the tree digest has a deadline of its own."""
    pod = at.preflight_of(at.candidate) if at.candidate else None
    statuses = pod.status.container_statuses if pod else ()
    return any(s.name == "digest" and s.state.running is not None for s in statuses)


def _refusal(at: Situation) -> Fault | None:
    candidate = at.candidate
    assert candidate is not None
    report, found = at.report(candidate), at.refusal
    if found is not None:
        return Fault(found.reason, found.message, True, at.now, True)
    if report is not None and report.error is not None and report.error[0] not in SLOW:
        return Fault(report.error[0], report.error[1], True, at.now, True)
    return None


def _ended(at: Situation) -> Fault | None:
    fault = preparation_fault(at)
    grace = at.model.spec.strategy.fail_fast_seconds
    return fault if fault is not None and fault.ends_attempt(at.now, grace) else None


def _short_since(at: Situation) -> datetime | None:
    """Since when what serves has had too few ready pods; None where no pod tells."""
    conditions = [pod.condition("Ready") for pod in at.pods(at.serving) if not pod.ready]
    return max((c.last_transition_time for c in conditions if c and c.last_transition_time), default=None)


def steady(at: Situation) -> Progress:
    """How what serves is, whatever else goes on."""
    name, ready = at.serving, at.ready(at.serving)
    deployment = at.deployments.get(name or "")
    text = f"{ready} of {at.replicas} pods of {name} are ready"
    if refusal := at.seen.refusals.get(f"Deployment/{name}"):
        return Progress(Phase.BLOCKED, "DeploymentRefused", f"Deployment {name!r}: {refusal}")
    if rolls(at):
        return Progress(Phase.SETTLING, "PodsStarting", f"{text}; a change of spec.serving rolls")
    if ready >= at.replicas and deployment is not None and deployment.rolled_out:
        return Progress(Phase.STEADY, "Serving", text)
    fault = next(iter(at.faults(name)), None)
    reason = fault.reason if fault else "PodsStarting" if ready else "NoReadyPods"
    text = f"{text}: {fault.message}" if fault else text
    since = _short_since(at)
    late = since + timedelta(seconds=at.model.spec.strategy.progress_deadline_seconds) if since else None
    given_up = deployment is not None and deployment.stalled
    if given_up or (late is not None and at.now >= late):
        return Progress(Phase.BLOCKED, reason if reason != "PodsStarting" else "PodsNotReady", text)
    return Progress(Phase.SETTLING, reason, text, until=late)
