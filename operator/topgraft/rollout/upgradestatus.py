"""The status of an AdapterUpgrade: what became of the order, in conditions that people and GitOps tools read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade, ArtifactProof
from topgraft.api.modelversion import ModelVersion
from topgraft.api.verification import Check
from topgraft.governance.refusal import Refusal
from topgraft.rollout import changes, checkstatus, resolving, submissions
from topgraft.rollout.conditions import Says, rfc3339, stamp, truth
from topgraft.rollout.content import wire
from topgraft.rollout.contract import artifact_digest
from topgraft.rollout.image import Image
from topgraft.rollout.progress import Phase, Progress
from topgraft.rollout.situation import Situation
from topgraft.rollout.summary import AWAITED, CONTRACT_NONE, HISTORY_LIMIT, STUCK, without_nulls
from topgraft.rollout.target import seniority
from topgraft.rollout.views import RETRY_AT

BROKEN = (
    *("ModuleMismatch", "ClassMismatch", "ApiIncompatible", "ContractMissing", "ImportFailed"),
    *("DependencyConflict", "RequirementsUnknown", "HeadConversionUnsupported", "HeadConversionIncomplete"),
)
SUPERSEDED = "a newer AdapterUpgrade of this Model governs or has governed: nothing to do"


def upgrade_status(at: Situation, step: Progress, upgrade: AdapterUpgrade) -> dict[str, Any]:
    """One upgrade's whole status; `Reconciling` and `Stalled` stand only where True (kstatus)."""
    old, meta = upgrade.status, upgrade.metadata
    governs = at.target.governing is not None and at.target.governing.metadata.uid == meta.uid
    body: dict[str, Any] = {
        "observedGeneration": meta.generation,
        "lastHandledRetryAt": meta.annotations.get(RETRY_AT, "")[:1024] or None,
    }
    if not governs:
        newer = any(seniority(u) > seniority(upgrade) for u in at.seen.upgrades)
        body["supersededGeneration"] = meta.generation if newer else old.superseded_generation
        body |= _kept(upgrade)
        said: list[Says] = [
            Says("Ready", "True", "Superseded", SUPERSEDED),
            Says("Succeeded", "Unknown", "Superseded"),
        ]
    elif at.target.held or upgrade.spec.suspend or (at.deferred is not None and at.target.order is not None):
        body |= _kept(upgrade)
        said = list(_held(at, upgrade))
    elif at.target.refused is not None:
        # What would be recorded is the course of another order.
        body |= _kept(upgrade)
        said = list(_not_accepted(at, resolving.obstacle(at) or at.target.refused))
    else:
        body |= _kept(upgrade) if at.bakes_on else _record(at, step, upgrade)
        said = list(_governing(at, step, body))
    body["resolved"] = resolving.resolved(at, upgrade)
    body["conditions"] = stamp(said, old.conditions, meta.generation, at.now)
    return without_nulls(body)


def _kept(upgrade: AdapterUpgrade) -> dict[str, Any]:
    """The record of the last attempt stays while another order is in force."""
    renewed = ("observedGeneration", "conditions", "lastHandledRetryAt", "supersededGeneration")
    old = upgrade.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in old.items() if name not in renewed}


def _held(at: Situation, upgrade: AdapterUpgrade) -> Iterator[Says]:
    if upgrade.spec.suspend:
        reason, text = "Suspended", "spec.suspend is true: set it to false to go on"
    elif at.deferred is not None:
        reason, text = at.deferred.reason, at.deferred.message
    else:
        reason = "Pinned"
        text = f"the Model's spec.serving.version pins {at.model.spec.serving.version!r}: remove the pin to go on"
    yield Says("Ready", "Unknown", reason, text)
    yield Says("Suspended", "True", reason, text)
    yield Says("Succeeded", "Unknown", reason, text)


def _record(at: Situation, step: Progress, upgrade: AdapterUpgrade) -> dict[str, Any]:
    """Versions, digests and times of the attempt. A new one starts a new record; the old one goes to the history."""
    old, target = upgrade.status, at.target
    same = (old.attempt_hash or "") == target.attempt and old.to_version == target.version
    base = at.versions.get(target.base or "")
    version = at.versions.get(target.version or "")
    serves = at.serving == target.version
    ended = (serves and not at.baking and step.phase in (Phase.STEADY, Phase.SETTLING)) or at.failure is not None
    decided = at.decision.time if at.decision and serves else None
    started = at.model.status.rollout.start_time if at.model.status.rollout else None
    known = _found(at, version) if serves or at.failure or step.failed else {}
    return {
        "fromVersion": old.from_version if same else at.stable,
        "toVersion": target.version,
        "imageDigest": known.get("imageDigest") or (old.image_digest if same else None),
        "artifact": _proof(old.artifact if same else None, base, known.get("after")) or None,
        **changes.told(at, version if known else None, old if same else None),
        "checks": checkstatus.on_wire(checkstatus.upgrade_checks(at, upgrade, same=same)),
        "attemptHash": target.attempt or None,
        "startTime": _time(old.start_time if same and old.start_time else started or at.now),
        "switchTime": _time(old.switch_time if same and old.switch_time else decided),
        "endTime": _time(old.end_time if same and old.end_time else at.now) if ended else None,
        "history": _history(at, upgrade, same) or None,
    }


def _proof(old: ArtifactProof | None, base: ModelVersion | None, after: str | None) -> dict[str, str]:
    """The artifacts' digests before and after; what was found once in this attempt stays."""
    recorded = base.status.artifact.digest if base is not None and base.status.artifact else None
    found = {
        "before": (old.before if old is not None else None) or recorded,
        "after": after or (old.after if old is not None else None),
    }
    return {name: digest for name, digest in found.items() if digest}


def _found(at: Situation, version: ModelVersion | None) -> dict[str, str]:
    """Digests of the artifacts and of the image, from the version's record or from the preflight that just ended."""
    if version is None:
        return {}
    record, report = version.status.artifact, at.report(version)
    found = {"after": record.digest if record else "", "imageDigest": Image.parse(at.image(version)).digest}
    if report is not None and report.artifact is not None:
        found["after"] = artifact_digest(version, report)
    return found


def _time(time: datetime | None) -> str | None:
    return rfc3339(time) if time else None


def _history(at: Situation, upgrade: AdapterUpgrade, same: bool) -> list[dict[str, Any]]:
    old = upgrade.status
    entries = [wire(entry) for entry in old.history]
    if same or old.attempt_hash is None:
        return entries
    told = {c.type: c for c in old.conditions}
    ready, version = told.get("Ready"), at.versions.get(old.to_version or "")
    # One whose bake ended, or failed, while another order waited for that has never said so itself.
    failure = at.failure_of(old.to_version, old.attempt_hash)
    failed = failure is not None or (ready is not None and ready.status == "False")
    done = "Succeeded" in told and told["Succeeded"].status == "True"
    succeeded = done or (not failed and old.to_version == at.stable)
    reason = failure.reason if failure else ready.reason if ready else None
    entry = {
        "image": version.spec.adapter.image if version else upgrade.spec.adapter.image or "",
        "version": old.to_version,
        "startTime": _time(old.start_time),
        "endTime": _time(old.end_time or at.now),
        "outcome": "Succeeded" if succeeded else "Failed" if failed else "Abandoned",
        "reason": reason if failed and not succeeded else None,
    }
    return [without_nulls(entry), *entries][:HISTORY_LIMIT]


def _governing(at: Situation, step: Progress, body: dict[str, Any]) -> Iterator[Says]:
    reason, text = step.reason, step.message
    failure = at.failure
    if at.target.overtaken:
        text = f"ModelVersion {at.target.version} is newer and carries its own adapter"
        yield Says("Ready", "True", "Overtaken", text)
        yield Says("Succeeded", "Unknown", "Overtaken")
        return
    if failure is not None:
        yield from _failed(at, failure.reason, failure.message or failure.reason)
    elif step.phase is Phase.STEADY or (step.phase is Phase.SETTLING and at.serving == at.target.version):
        yield Says("Ready", "True", "UpgradeSucceeded", f"{at.target.version} serves")
        yield Says("Succeeded", "True", "UpgradeSucceeded", f"{at.target.version} serves")
        if any(check["verdict"] == "Inconclusive" for check in body.get("checks") or ()):
            yield Says("Healthy", "Unknown", "Inconclusive", "a check came to no verdict, see status.checks")
        else:
            yield Says("Healthy", "True", "Baked", "the pods stayed ready and did not restart while they were watched")
    elif step.held:
        yield Says("Ready", "Unknown", reason, text)
        yield Says("Suspended", "True", reason, text)
        yield Says("Succeeded", "Unknown", reason)
    elif step.phase in STUCK or (step.phase is Phase.UNDECIDED and reason not in AWAITED):
        yield Says("Ready", "False", reason, text)
        yield Says("Succeeded", "Unknown", reason)
        yield Says("Stalled", "True", reason, text)
    elif step.phase is Phase.UNDECIDED:
        yield Says("Ready", "False", reason, text)
        yield Says("Succeeded", "Unknown", reason)
        yield Says("Reconciling", "True", reason, text)
    else:
        yield Says("Ready", "Unknown", reason, text)
        yield Says("Succeeded", "Unknown", reason)
        yield Says("Reconciling", "True", reason, text)
        if step.phase is Phase.BAKING:
            yield Says("Healthy", "Unknown", "Baking", text)
    yield from _proofs(at, body)
    yield from submissions.upgrade_says(at)
    checks = tuple(Check.model_validate(check) for check in body.get("checks") or ())
    current = at.checking is not None and at.checking.name == at.target.version
    yield from checkstatus.verified_says(at, checks, current=current)


def _not_accepted(at: Situation, refused: Refusal) -> Iterator[Says]:
    """A rule about other objects keeps the upgrade from its say: told here, and gone with its cause."""
    text = f"{refused.message}; {at.serving or 'nothing'} serves"
    if not refused.final:
        yield Says("Ready", "Unknown", refused.reason, text)
        yield Says("Succeeded", "Unknown", refused.reason)
        yield Says("Reconciling", "True", refused.reason, text)
        return
    yield Says("Ready", "False", refused.reason, text)
    yield Says("Accepted", "False", refused.reason, refused.message)
    yield Says("Succeeded", "False", refused.reason, refused.message)
    yield Says("Stalled", "True", refused.reason, text)


def _failed(at: Situation, reason: str, text: str) -> Iterator[Says]:
    served = at.decision is not None and at.decision.leaves == "Failed" and at.decision.origin == at.target.version
    again = f"to try again change the spec or annotate {RETRY_AT}=<any new value>"
    told = f"{text}; {at.serving or 'nothing'} serves; {again}"
    order = at.target.order
    switched = order is not None and order.status.switch_time and order.status.attempt_hash == at.target.attempt
    when = "went back after the switch" if served or switched else "refused before any traffic moved"
    going = at.serving == at.target.version
    yield Says("Ready", "False", reason, told)
    yield Says("Succeeded", "False", reason, text)
    yield Says("Stalled", "True", reason, told)
    if going:
        yield Says("RolledBack", "False", reason, f"not yet: {_way_back(at)}")
    else:
        yield Says("RolledBack", "True", reason, when)
    if served:
        yield Says("Healthy", "False", reason, text)


def _way_back(at: Situation) -> str:
    """Why a version that failed while it served still does."""
    if at.wanted in (at.serving, None):
        return "there is no other version to go back to"
    return f"{at.wanted} is started first"


def _proofs(at: Situation, body: dict[str, Any]) -> Iterator[Says]:
    proof = body.get("artifact") or {}
    before, after = proof.get("before"), proof.get("after")
    if before and after:
        same = before == after
        text = f"{after} before and after" if same else f"{before} before, {after} after"
        yield Says("ArtifactsUnchanged", truth(same), "DigestsEqual" if same else "ArtifactsChanged", text)
    elif at.failure is not None and at.failure.reason == "ArtifactsChanged":
        yield Says("ArtifactsUnchanged", "False", "ArtifactsChanged", at.failure.message or "")
    version = at.versions.get(at.target.version or "")
    if at.failure is not None and at.failure.reason in BROKEN:
        yield Says("ContractCompatible", "False", at.failure.reason, at.failure.message or "")
    elif version is not None and version.spec.adapter.contract == "None":
        yield Says("ContractCompatible", "Unknown", "ContractNone", CONTRACT_NONE)
    elif after and at.failure is None:
        yield Says("ContractCompatible", "True", "SameContract", "module, class and API fit the version it came from")
