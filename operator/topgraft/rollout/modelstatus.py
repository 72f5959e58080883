"""The status of a Model: what serves, what is being brought in, what a rollback would go back to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.modelversion import ModelVersion
from topgraft.api.verification import Check
from topgraft.rollout import branchstatus, checkstatus, defect, gate, live, mlflow, routing, submissions, verdicts
from topgraft.rollout.aliases import alias_says, alias_status
from topgraft.rollout.conditions import Says, rfc3339, stamp, truth
from topgraft.rollout.content import wire
from topgraft.rollout.podspec import labels
from topgraft.rollout.progress import HELD_STEP, QUEUED_STEP, Phase, Progress, steady
from topgraft.rollout.sandbox import sandbox_says, sandbox_status
from topgraft.rollout.sharing import canary_steps, held_since
from topgraft.rollout.situation import Situation
from topgraft.rollout.steps import stopped
from topgraft.rollout.strategy import step as step_of
from topgraft.rollout.summary import ACTIVE, HISTORY_LIMIT, STUCK, ready_says, state_of, without_nulls
from topgraft.rollout.target import rank
from topgraft.rollout.training import training_records
from topgraft.rollout.views import RETRY_AT

STEPS = {Phase.BAKING: "Baking", Phase.BACKOFF: "Waiting", Phase.HELD: HELD_STEP}


def model_status(at: Situation, step: Progress) -> dict[str, Any]:
    model, old = at.model, at.model.status
    ready = answering(at)
    serving = at.versions.get(at.serving or "")
    checks = checkstatus.model_checks(at)
    summary = _summary(at, step)
    beside = (*live.notices(at), *mlflow.says(at))
    branches = branchstatus.on_wire(at)
    said = (*summary, *_traffic(at, ready), *_notices(at, step, branches), *_verification(at, checks), *beside)
    running = _rollout(at, step)
    body = {
        "observedGeneration": model.metadata.generation,
        "conditions": stamp(said, old.conditions, model.metadata.generation, at.now),
        "state": _state(at, step, ready),
        "isReady": ready > 0,
        "baseVersion": at.target.base or old.base_version,
        "baseRank": _base_rank(at),
        "servingVersion": at.serving or old.serving_version,
        "stableVersion": at.stable,
        "previousVersion": at.previous,
        "candidateVersion": at.goal.version if _candidate(at, step) else None,
        "governingUpgrade": _governing(at),
        "adapterImage": at.image(serving) if serving else old.adapter_image,
        "artifactDigest": _digest(serving) or old.artifact_digest,
        "rollout": running,
        "lastRollback": _last_rollback(at),
        "defects": _defects(at) or None,
        "checks": checkstatus.on_wire(checks),
        "baseline": wire(at.decision.baseline) if at.decision and at.decision.baseline else None,
        "branches": branches or None,
        "objectives": submissions.model_records(at) or None,
        **alias_status(at),
        "sandbox": sandbox_status(at),
        "trained": training_records(at) or None,
        "finishedTime": rfc3339(at.now) if at.baked else old.finished_time and rfc3339(old.finished_time),
        **_scale(at),
        "lastHandledRetryAt": model.metadata.annotations.get(RETRY_AT, "")[:1024] or None,
        "mlflow": mlflow.model_row(at),
        "history": _history(at, step, running) or None,
    }
    return without_nulls(body)


def _summary(at: Situation, step: Progress) -> Iterator[Says]:
    # While a gate holds a rollout the Model is as well as what serves: nothing is wrong with it, nothing moves.
    said = tuple(ready_says(steady(at) if step.held else step))
    trouble = routing.broken(at)
    if trouble is None or said[0].status != "True":
        yield from said
        return
    text = f"{trouble.message}; the Service {at.model.metadata.name!r} answers, with {at.serving}"
    yield Says("Ready", "False", trouble.reason, text)
    yield Says("Stalled", "True", trouble.reason, text)


def _scale(at: Situation) -> dict[str, Any]:
    """What /scale tells a HorizontalPodAutoscaler: the pods that have the Model's requests.

    Of both versions while they share them: the load of one alone, which may be a single pod then, would size the whole.
    """
    if at.serving is None:
        return {"replicas": 0}
    shared = at.decision.candidate if at.decision is not None and at.decision.splits else None
    selector = labels(at.model, None if shared else at.serving, "serving")
    pods = len(at.pods(at.serving)) + (len(at.pods(shared)) if shared else 0)
    return {"replicas": pods, "selector": ",".join(f"{key}={value}" for key, value in selector.items())}


def answering(at: Situation) -> int:
    """Ready pods that the Service selects."""
    decision = at.decision
    beside = at.ready(decision.candidate) if decision is not None and decision.shares else 0
    return at.ready(at.serving) + beside


def _candidate(at: Situation, step: Progress) -> bool:
    return (
        step.phase in (*ACTIVE, Phase.BACKOFF, Phase.REQUEUED, Phase.RETRYING)
        and at.goal.version is not None
        and at.goal.version != at.stable
    )


def _traffic(at: Situation, ready: int) -> Iterator[Says]:
    if at.serving is None:
        yield Says("Available", "False", "NothingServes", "no version serves yet")
        return
    if down := stopped(at):
        yield Says("Available", "False", "Recreating", down)
    else:
        beside = f" and {at.decision.candidate}" if at.decision and at.decision.shares else ""
        text = f"{ready} pods of {at.serving}{beside} are ready"
        yield Says("Available", truth(ready > 0), "PodsReady" if ready else "NoReadyPods", text)
    begun = step_of(at)
    back = at.stable if at.baking or begun else at.previous
    if back is None:
        text = "there is no previous version to go back to"
        yield Says("RollbackReady", "False", "RollbackTargetMissing", text)
    elif at.ready(back) > 0:
        yield Says("RollbackReady", "True", "StandbyReady", f"{back} is warm: going back takes one write")
    else:
        text = f"{back} has no ready pod: going back has to start it first"
        yield Says("RollbackReady", "False", "StandbyGone", text)


def _notices(at: Situation, step: Progress, branches: list[dict[str, Any]]) -> Iterator[Says]:
    yield from alias_says(at)
    yield from sandbox_says(at)
    if hold := step if step.held else at.deferred:
        yield Says("Held", "True", hold.reason, hold.message)
    if text := defect.read(at.model.metadata.annotations)[1]:
        yield Says("InvalidDefect", "True", "DefectMalformed", text)
    if routing.asked(at) is not None:
        yield routing.verdict(at)
    if text := gate.invalid_windows(at):
        yield Says("InvalidWindow", "True", "TimeZoneUnknown", text)
    yield from submissions.notices(at)
    yield from branchstatus.notices(branches)
    if waits := _behind_the_pin(at):
        text = f"spec.serving.version pins {at.model.spec.serving.version}; {waits} until it is taken out"
        yield Says("Pinned", "True", "PinnedVersion", text)
    if at.target.ungoverned:
        text = "the governing AdapterUpgrade was deleted; what serves stays, deleting is never an order"
        yield Says("Ungoverned", "True", "UpgradeDeleted", text)
    if at.target.adapter_overridden and at.target.governing:
        name = at.target.governing.metadata.name
        text = f"AdapterUpgrade {name!r} puts its adapter on base {at.target.base!r}, which is newer than it"
        yield Says("AdapterOverridden", "True", "UpgradeGoverns", text)


def _behind_the_pin(at: Situation) -> str:
    """What would be brought in without the pin; "" where there is none, or nothing else to serve."""
    pin, target = at.model.spec.serving.version, at.target
    if pin is None:
        return ""
    if target.governing is not None and not target.governing.spec.suspend:
        return f"AdapterUpgrade {target.governing.metadata.name!r} waits"
    return f"the base {target.base} waits" if target.base not in (None, pin) else ""


def _verification(at: Situation, checks: tuple[Check, ...]) -> Iterator[Says]:
    first = at.decision is not None and at.decision.direction == "First"
    if at.failure is not None or at.checking is not None or first or not verdicts.failed(checks):
        # Bad verdicts on a version that nobody wants any more say nothing of this Model.
        yield from checkstatus.verified_says(at, checks, current=True)
    yield from checkstatus.validated_says(at)


def _state(at: Situation, step: Progress, ready: int) -> str:
    """The serving pods in one word; unlike the conditions it says nothing of a rollout."""
    if at.serving is None:
        return "FAILED" if step.phase in (*STUCK, Phase.FAILED) else "STARTING" if step.preparing else "DISABLED"
    return state_of(ready, at.replicas, faulty=bool(at.faults(at.serving)))


def _base_rank(at: Situation) -> dict[str, Any] | None:
    base = at.versions.get(at.target.base or "")
    if base is None:
        return wire(at.model.status.base_rank) if at.model.status.base_rank else None
    order, revision, creation_time = rank(base)
    return {"order": order, "revision": revision, "creationTime": creation_time}


def _governing(at: Situation) -> dict[str, Any] | None:
    """The high-water mark: it stays when the upgrade is deleted, so that no older one comes back to power."""
    upgrade, mark = at.target.governing, at.model.status.governing_upgrade
    if upgrade is None:
        return mark.model_dump(mode="json", by_alias=True) if mark else None
    meta = upgrade.metadata
    return {
        "name": meta.name,
        "uid": meta.uid,
        "creationTime": rfc3339(meta.creation_timestamp),
        "generation": meta.generation,
    }


def _digest(version: ModelVersion | None) -> str | None:
    return version.status.artifact.digest if version and version.status.artifact else None


def _rollout(at: Situation, step: Progress) -> dict[str, Any] | None:
    old = at.rollout
    if old is not None and at.baking and step.phase is Phase.BLOCKED and old.to == at.serving:
        return wire(old)  # a bake that is stuck has not ended
    if not _candidate(at, step) or step.phase in (Phase.QUEUED, Phase.CLOSED) or step.failed:
        return None
    if old is not None and step.phase is Phase.REQUEUED:
        return wire(old) | {"step": QUEUED_STEP}
    again = old is not None and old.retry_time is not None and at.now >= old.retry_time
    if old is not None and old.step == HELD_STEP:
        # What the cluster was given to make it ready is not used up by the time that a person took.
        again = step.phase is not Phase.HELD
    began = old.start_time if old is not None and not again else at.now
    tries = old.tries if old is not None else 0
    backing_off = step.phase is Phase.BACKOFF
    fresh = backing_off and old is not None and old.retry_time is None
    return without_nulls(
        {
            "attemptHash": at.goal.attempt,
            "from": at.stable,
            "to": at.goal.version,
            "trigger": at.goal.trigger,
            "startTime": rfc3339(began),
            "step": STEPS.get(step.phase, "Verifying"),
            "tries": tries + 1 if fresh else tries,
            "retryTime": rfc3339(step.until) if backing_off and step.until else None,
            **_step(at),
        }
    )


def _step(at: Situation) -> dict[str, Any]:
    begun, given = step_of(at), canary_steps(at)
    if begun is None:
        return {}
    told: dict[str, Any] = {"step": begun.mode}
    if since := held_since(at, begun):
        told["stepTime"] = rfc3339(since)
    if begun.step is not None and begun.step < len(given):
        told |= {"canaryStep": begun.step, "weight": given[begun.step].weight}
    return told


def _last_rollback(at: Situation) -> dict[str, Any] | None:
    decision, old = at.decision, at.model.status.last_rollback
    kept = wire(old) if old else None
    if decision is None or decision.direction != "Back" or decision.origin is None:
        return kept
    if old is not None and old.decided_time == decision.time:
        return kept
    took = (at.now - decision.time).total_seconds() * 1000
    return without_nulls(
        {
            "reason": decision.reason,
            "message": decision.message,
            "from": decision.origin,
            "to": decision.to,
            "decidedTime": rfc3339(decision.time),
            "durationMilliseconds": max(0, round(took)),
        }
    )


def _defects(at: Situation) -> list[dict[str, Any]]:
    decision = at.decision
    decided = (decision.defect, decision.time) if decision is not None and decision.defect else None
    return defect.recorded(at.model.status.defects, decided, at.defect, at.now)


def _history(at: Situation, step: Progress, running: dict[str, Any] | None) -> list[dict[str, Any]]:
    """An entry for each rollout that was in the status and is over now; the newest first."""
    old = [wire(entry) for entry in at.model.status.history]
    ended = at.model.status.rollout
    if ended is None:
        entry = _move_without_rollout(at)
    elif running is not None and (running["to"], running["attemptHash"]) == (ended.to, ended.attempt_hash):
        entry = None
    else:
        outcome, reason = _outcome(at, step, ended.to, ended.attempt_hash)
        entry = {"version": ended.to, "startTime": rfc3339(ended.start_time), "outcome": outcome, "reason": reason}
    if entry is None:
        return old
    version = at.versions.get(entry["version"] or "")
    image = version.spec.adapter.image if version else None
    return [without_nulls({**entry, "adapterImage": image, "endTime": rfc3339(at.now)}), *old][:HISTORY_LIMIT]


def _move_without_rollout(at: Situation) -> dict[str, Any] | None:
    """The first deployment, and a return that no rollout was for: to the standby, by order or because of a loss."""
    decision, told, old = at.decision, at.model.status.last_rollback, at.model.status
    if decision is None:
        return None
    if decision.direction == "First":
        first = {"version": decision.to, "startTime": rfc3339(decision.time), "outcome": "Succeeded"}
        return None if old.history else first
    if decision.direction != "Back" or decision.origin is None or (told and told.decided_time == decision.time):
        return None
    failed = decision.leaves == "Failed"
    version, outcome = (decision.origin, "RolledBack") if failed else (decision.to, "Restored")
    return {"version": version, "startTime": rfc3339(decision.time), "outcome": outcome, "reason": decision.reason}


def _outcome(at: Situation, step: Progress, version: str, attempt: str) -> tuple[str, str | None]:
    if failure := at.failure_of(version, attempt):
        decision = at.decision
        moved = decision is not None and decision.leaves == "Failed" and decision.origin == version
        return ("RolledBack" if moved else "Refused"), failure.reason
    if step.failed:
        return "Refused", step.failed.reason
    if at.serving != version:
        return "Abandoned", "Superseded"
    back = at.decision is not None and at.decision.direction == "Back"
    return ("Restored", at.decision.reason) if back and at.decision is not None else ("Succeeded", None)
