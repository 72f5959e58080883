"""The statuses of the three kinds, told from one situation so that no two of them contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.conditions import Says, rfc3339, stamp, truth
from topgraft.rollout.content import wire
from topgraft.rollout.contract import artifact_digest
from topgraft.rollout.image import Image
from topgraft.rollout.instructions import ApplyStatus
from topgraft.rollout.podspec import labels
from topgraft.rollout.progress import Phase, Progress
from topgraft.rollout.situation import Situation
from topgraft.rollout.target import rank
from topgraft.rollout.upgradestatus import AWAITED, CONTRACT_NONE, upgrade_status
from topgraft.rollout.views import RETRY_AT

HISTORY_LIMIT = 10
Ours = Model | ModelVersion | AdapterUpgrade
ACTIVE = (Phase.PREPARING, Phase.WAITING, Phase.QUEUED, Phase.SETTLING, Phase.BAKING)
STUCK = (Phase.BLOCKED, Phase.BACKOFF, Phase.RETRYING, Phase.FAILED)


def statuses(at: Situation, step: Progress) -> tuple[ApplyStatus, ...]:
    """The status writes that are due; none where nothing changed."""
    writes = (
        due(at.model, model_status(at, step)),
        *(due(upgrade, upgrade_status(at, step, upgrade)) for upgrade in at.seen.upgrades),
        *(due(version, version_status(at, step, version)) for version in at.seen.versions),
    )
    return tuple(write for write in writes if write)


def due(obj: Ours, body: dict[str, Any] | None) -> ApplyStatus | None:
    """The write that makes `body` the status of `obj`, if that says anything new."""
    if body is None or same(obj.status, body):
        return None
    meta = obj.metadata
    return ApplyStatus(
        {
            "apiVersion": obj.api_version,
            "kind": obj.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
            "status": body,
        }
    )


def same(status: BaseModel, body: dict[str, Any]) -> bool:
    return wire(status) == wire(type(status).model_validate(body))


def without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _ready(at: Situation, step: Progress) -> Iterator[Says]:
    """Ready, and Reconciling or Stalled where True: what Argo CD and kstatus read."""
    match step.phase:
        case Phase.STEADY:
            yield Says("Ready", "True", step.reason, step.message)
        case Phase.UNDECIDED if step.reason in AWAITED:
            yield Says("Ready", "False", step.reason, step.message)
            yield Says("Reconciling", "True", step.reason, step.message)
        case Phase.UNDECIDED | Phase.BLOCKED | Phase.BACKOFF | Phase.RETRYING | Phase.FAILED:
            yield Says("Ready", "False", step.reason, step.message)
            yield Says("Stalled", "True", step.reason, step.message)
        case _:
            yield Says("Ready", "Unknown", step.reason, step.message)
            yield Says("Reconciling", "True", step.reason, step.message)


def model_status(at: Situation, step: Progress) -> dict[str, Any]:
    model, old = at.model, at.model.status
    ready = at.ready(at.serving)
    serving = at.versions.get(at.serving or "")
    said = (*_ready(at, step), *_traffic(at, ready), *_notices(at))
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
        "finishedTime": rfc3339(at.now) if at.baked else old.finished_time and rfc3339(old.finished_time),
        "replicas": len(at.pods(at.serving)) if at.serving else 0,
        "selector": ",".join(f"{k}={v}" for k, v in labels(model, at.serving, "serving").items())
        if at.serving
        else None,
        "lastHandledRetryAt": model.metadata.annotations.get(RETRY_AT),
        "history": _history(at, step, running) or None,
    }
    return without_nulls(body)


def _candidate(at: Situation, step: Progress) -> bool:
    return (
        step.phase in (*ACTIVE, Phase.BACKOFF, Phase.RETRYING)
        and at.goal.version is not None
        and at.goal.version != at.stable
    )


def _traffic(at: Situation, ready: int) -> Iterator[Says]:
    if at.serving is None:
        yield Says("Available", "False", "NothingServes", "no version serves yet")
        return
    text = f"{ready} pods of {at.serving} are ready"
    yield Says("Available", truth(ready > 0), "PodsReady" if ready else "NoReadyPods", text)
    back = at.stable if at.baking else at.previous
    if back is None:
        text = "there is no previous version to go back to"
        yield Says("RollbackReady", "False", "RollbackTargetMissing", text)
    elif at.ready(back) > 0:
        yield Says("RollbackReady", "True", "StandbyReady", f"{back} is warm: going back takes one write")
    else:
        text = f"{back} has no ready pod: going back has to start it first"
        yield Says("RollbackReady", "False", "StandbyGone", text)


def _notices(at: Situation) -> Iterator[Says]:
    if at.target.ungoverned:
        text = "the governing AdapterUpgrade was deleted; what serves stays, deleting is never an order"
        yield Says("Ungoverned", "True", "UpgradeDeleted", text)
    if at.target.adapter_overridden and at.target.governing:
        name = at.target.governing.metadata.name
        text = f"AdapterUpgrade {name!r} puts its adapter on base {at.target.base!r}, which is newer than it"
        yield Says("AdapterOverridden", "True", "UpgradeGoverns", text)


def _state(at: Situation, step: Progress, ready: int) -> str:
    """The serving pods in one word; unlike the conditions it says nothing of a rollout."""
    if at.serving is None:
        return "FAILED" if step.phase in STUCK else "STARTING" if step.preparing else "DISABLED"
    if ready >= at.replicas:
        return "ACTIVE"
    if ready == 0:
        return "FAILED" if at.faults(at.serving) else "STARTING"
    return "DEGRADED"


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
    if not _candidate(at, step) or step.phase in (Phase.QUEUED,) or step.failed:
        return None
    to, old = at.goal.version, at.model.status.rollout
    known = old is not None and old.to == to and old.attempt_hash == at.goal.attempt
    again = known and old is not None and old.retry_time is not None and at.now >= old.retry_time
    began = old.start_time if old is not None and known and not again else at.now
    tries = old.tries if old is not None and known else 0
    backing_off = step.phase is Phase.BACKOFF
    fresh = backing_off and old is not None and old.retry_time is None
    return without_nulls(
        {
            "attemptHash": at.goal.attempt,
            "from": at.stable,
            "to": to,
            "trigger": at.goal.trigger,
            "startTime": rfc3339(began),
            "step": "Baking" if step.phase is Phase.BAKING else "Waiting" if backing_off else "Verifying",
            "tries": tries + 1 if fresh else tries,
            "retryTime": rfc3339(step.until) if backing_off and step.until else None,
        }
    )


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


def _history(at: Situation, step: Progress, running: dict[str, Any] | None) -> list[dict[str, Any]]:
    """An entry for each rollout that was in the status and is over now; the newest first."""
    old = [wire(entry) for entry in at.model.status.history]
    ended, decision = at.model.status.rollout, at.decision
    if ended is None:
        first = decision is not None and decision.direction == "First" and not old
        entry = {"version": at.serving, "startTime": rfc3339(at.now), "outcome": "Succeeded"} if first else None
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


def _outcome(at: Situation, step: Progress, version: str, attempt: str) -> tuple[str, str | None]:
    if failure := at.failure_of(version, attempt):
        decision = at.decision
        moved = decision is not None and decision.leaves == "Failed" and decision.origin == version
        return ("RolledBack" if moved else "Refused"), failure.reason
    if step.failed:
        return "Refused", step.failed.reason
    return ("Succeeded", None) if at.serving == version else ("Abandoned", "Superseded")


def version_status(at: Situation, step: Progress, version: ModelVersion) -> dict[str, Any] | None:
    """A version's status. None while it is a candidate without news: nothing is written before there is something."""
    old, name = version.status, version.metadata.name
    report = at.report(version) if name == at.serving else None
    verified = report is not None and report.error is None and report.complete(version)
    failing = step.failed if at.candidate is not None and name == at.candidate.metadata.name else None
    preparing = at.candidate is not None and name == at.candidate.metadata.name and not failing
    if preparing and old.failure is None and step.phase in (Phase.PREPARING, Phase.QUEUED):
        return None
    body: dict[str, Any] = {
        "observedGeneration": version.metadata.generation,
        "artifact": wire(old.artifact) if old.artifact else None,
        "adapter": wire(old.adapter) if old.adapter else None,
        "api": wire(old.api) if old.api else None,
        "apiDigest": old.api_digest,
        "failure": _failure(at, step, version, failing is not None),
    }
    if report is not None and verified and body["failure"] is None:
        body |= _verification(at, version)
    said = _version_conditions(at, step, version, body)
    body["conditions"] = stamp(said, old.conditions, version.metadata.generation, at.now)
    return without_nulls(body)


def _verification(at: Situation, version: ModelVersion) -> dict[str, Any]:
    report = at.report(version)
    assert report is not None
    artifact, contract, old = report.artifact or {}, report.contract, version.status.artifact
    verified = old.verified_time if old is not None and old.verified_time else at.now.replace(microsecond=0)
    digest = Image.parse(at.image(version, report)).digest
    return {
        "artifact": without_nulls(
            {
                "digest": artifact_digest(version, report),
                "files": artifact.get("files"),
                "bytes": artifact.get("bytes"),
                "verifiedTime": rfc3339(verified),
            }
        ),
        "adapter": without_nulls(
            {
                "imageDigest": digest or None,
                "module": contract.module if contract else None,
                "className": contract.class_name if contract else None,
                "sdkVersion": contract.sdk_version if contract else None,
                "requirementsDigest": contract.requirements_digest if contract else None,
            }
        ),
        "api": wire(contract.api) if contract and contract.api else None,
        "apiDigest": contract.api_digest if contract else None,
    }


def _failure(at: Situation, step: Progress, version: ModelVersion, failing: bool) -> dict[str, Any] | None:
    """Failure is an input: it stays on the version until another attempt with it takes the traffic."""
    name, old = version.metadata.name, version.status.failure
    if failing and step.failed is not None:
        return {
            "attemptHash": at.goal.attempt,
            "reason": step.failed.reason,
            "message": step.failed.message,
            "time": rfc3339(at.now),
        }
    decision = at.decision
    if decision is not None and decision.leaves == "Failed" and decision.origin == name:
        new = {"attemptHash": decision.attempt, "reason": decision.reason, "message": decision.message}
        if old is None or old.attempt_hash != decision.attempt:
            return {**new, "time": rfc3339(decision.time)}
    forgotten = name == at.serving and old is not None and old.attempt_hash != at.attempt_of_serving
    return None if old is None or forgotten else wire(old)


def _version_conditions(at: Situation, step: Progress, version: ModelVersion, body: dict[str, Any]) -> Iterator[Says]:
    name = version.metadata.name
    if failure := body["failure"]:
        yield Says("Ready", "False", failure["reason"], failure.get("message", ""))
        yield Says("Stalled", "True", failure["reason"], failure.get("message", ""))
    elif at.candidate is not None and name == at.candidate.metadata.name:
        yield from _ready(at, step)
    elif name == at.serving:
        yield Says(
            "Ready", "True", "Serving", f"requests to Model {at.model.metadata.name} are answered by this version"
        )
    else:
        yield Says("Ready", "True", "Recorded", "recorded, not serving now")
    if digest := (body["artifact"] or {}).get("digest"):
        yield Says("ArtifactVerified", "True", "DigestComputed", f"tree digest {digest}")
        told = body["adapter"] or {}
        if version.spec.adapter.contract == "None":
            yield Says("ContractVerified", "Unknown", "ContractNone", CONTRACT_NONE)
        else:
            text = (
                f"{told.get('module')}:{told.get('className')} of {told.get('imageDigest', 'an image without digest')}"
            )
            yield Says("ContractVerified", "True", "InspectPassed", text)
    yield Says("Serving", truth(name == at.serving), "Selected" if name == at.serving else "NotSelected")


def orphan(model: str) -> list[Says]:
    """What a version or upgrade says while its Model does not exist."""
    text = f"spec.modelRef.name names Model {model!r}, which does not exist in this namespace: create it"
    return [Says("Ready", "False", "ModelNotFound", text), Says("Reconciling", "True", "ModelNotFound", text)]
