"""The status of a ModelVersion: what was verified, what failed, whether it serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.modelversion import ModelVersion
from topgraft.governance import lineage
from topgraft.governance.codes import TRAINED
from topgraft.rollout import condemned, mlflow, peft, submissions, training
from topgraft.rollout.conditions import Says, rfc3339, stamp, truth
from topgraft.rollout.content import wire
from topgraft.rollout.contract import artifact_digest
from topgraft.rollout.image import Image
from topgraft.rollout.infos import infos_says
from topgraft.rollout.preflight import Report
from topgraft.rollout.progress import Phase, Progress
from topgraft.rollout.situation import Situation
from topgraft.rollout.summary import CONTRACT_NONE, ready_says, without_nulls
from topgraft.rollout.target import derived

REQUIREMENTS_LIMIT = 512
SUMMARY = ("Ready", "Reconciling", "Stalled", "Suspended", "Serving")


def version_status(at: Situation, step: Progress, version: ModelVersion) -> dict[str, Any] | None:
    """A version's status. None while it is at rest, or on its way without news of its own."""
    old, name = version.status, version.metadata.name
    news = submissions.news(at, version) or training.news(at, version) or bool(version.spec.artifact.adapters)
    news = news or mlflow.news(at, version)
    told = old.observed_generation == version.metadata.generation and not news
    if name not in at.involved and told and _at_rest(at, version):
        return None
    # It may lose the traffic before the first look at it that would have recorded what it was let through with.
    lost_traffic = at.decision is not None and at.decision.leaves == "Failed" and at.decision.origin == name
    report = at.report(version) if name == at.serving or lost_traffic else None
    verified = report is not None and report.error is None and report.complete(version)
    blamed = at.candidate.metadata.name if at.candidate is not None else at.serving
    failing = step.failed if name == blamed else None
    preparing = at.candidate is not None and name == at.candidate.metadata.name and not failing
    if preparing and old.failure is None and not _news_of_its_way(step, version):
        return None
    body: dict[str, Any] = {
        "observedGeneration": version.metadata.generation,
        **training.training_status(at, version),
        "artifact": wire(old.artifact) if old.artifact else None,
        "adapter": wire(old.adapter) if old.adapter else None,
        "api": wire(old.api) if old.api else None,
        "apiDigest": old.api_digest,
        "requirements": list(old.requirements) or None,
        "adapters": peft.rows(at, version) or None,
        "headConversion": _head(at, version, failing is not None),
        "mlflow": mlflow.version_row(at, version),
        "failure": _failure(at, step, version, failing is not None),
        "submissions": submissions.version_records(at, version) or None,
    }
    if report is not None and verified and (lost_traffic or body["failure"] is None):
        body |= _verification(at, version)
    said = _version_conditions(at, step, version, body)
    body["conditions"] = stamp(said, old.conditions, version.metadata.generation, at.now)
    return without_nulls(body)


def _news_of_its_way(step: Progress, version: ModelVersion) -> bool:
    """Whether a candidate has something to say: the Model and the upgrade tell each step of a rollout, it tells few.

    Of a derived version nobody asks before it waits for something, and an upgrade is to cost few writes.
    """
    if step.phase not in (Phase.PREPARING, Phase.QUEUED):
        return True
    told = {c.type: c.reason for c in version.status.conditions}
    queued = step.phase is Phase.QUEUED
    if "Ready" not in told:
        return queued or not derived(version)
    return "Reconciling" in told and (told["Reconciling"] == "Queued") != queued


def _at_rest(at: Situation, version: ModelVersion) -> bool:
    """Whether its status says already that it does not serve, and why; thousands of such records must cost nothing.

    What an older release did not tell beside that can wait.
    """
    told = {c.type: (c.status, c.reason) for c in version.status.conditions if c.type in SUMMARY}
    failure = version.status.failure
    said = _resting(at, version, (failure.reason, failure.message or "") if failure else None)
    return told == {"Serving": ("False", "NotSelected"), **{one.type: (one.status, one.reason) for one in said}}


def _verification(at: Situation, version: ModelVersion) -> dict[str, Any]:
    report = at.report(version)
    assert report is not None
    contract = report.contract
    digest = Image.parse(at.image(version)).digest
    return {
        "artifact": _artifact(at, version, report),
        "adapter": without_nulls(
            {
                "imageDigest": digest or None,
                "module": contract.module if contract else None,
                "className": contract.class_name if contract else None,
                "sdkVersion": contract.sdk_version if contract else None,
                "requirementsDigest": contract.requirements_digest if contract else None,
                "commit": contract.commit if contract else None,
            }
        ),
        "api": wire(contract.api) if contract and contract.api else None,
        "apiDigest": contract.api_digest if contract else None,
        "headConversion": _head(at, version, True),
        "requirements": list((contract.requirements or ())[:REQUIREMENTS_LIMIT]) or None if contract else None,
    }


def _head(at: Situation, version: ModelVersion, anew: bool) -> dict[str, Any] | None:
    """What became of the head; of a version that was refused too, for it is then the reason."""
    report = at.report(version) if anew else None
    told = report.contract.head_conversion if report is not None and report.contract is not None else None
    found = told or version.status.head_conversion
    return wire(found) if found else None


def _artifact(at: Situation, version: ModelVersion, report: Report) -> dict[str, Any]:
    """The digest, and when every byte was last read: no time where the file system's word was taken for it."""
    found, old, digest = report.artifact or {}, version.status.artifact, artifact_digest(version, report)
    again = at.recheck if at.recheck.artifact and artifact_digest(version, at.recheck) == digest else None
    # A way back has no bake to read in: the version was read when it came.
    returned = at.decision is not None and at.decision.direction == "Back"
    read = found.get("quick") is not True or again is not None or returned
    verified = old.verified_time if old is not None and old.verified_time else at.now.replace(microsecond=0)
    newest = again.artifact if again is not None and again.artifact else found
    return without_nulls(
        {
            "digest": digest,
            "files": found.get("files"),
            "bytes": found.get("bytes"),
            "statDigest": newest.get("statDigest"),
            "verifiedTime": rfc3339(verified) if read else None,
        }
    )


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
    if at.defect is not None and (reported := condemned.reported(at, name)):
        return wire(reported) | {"time": rfc3339(at.now)}
    decision = at.decision
    if decision is not None and decision.leaves == "Failed" and decision.origin == name:
        new = {"attemptHash": decision.attempt, "reason": decision.reason, "message": decision.message}
        if old is None or old.attempt_hash != decision.attempt:
            return {**new, "time": rfc3339(decision.time)}
    forgotten = name == at.serving and old is not None and old.attempt_hash != at.attempt_of_serving
    return None if old is None or forgotten else wire(old)


def _version_conditions(at: Situation, step: Progress, version: ModelVersion, body: dict[str, Any]) -> Iterator[Says]:
    name, failure = version.metadata.name, body["failure"]
    if not failure and at.candidate is not None and name == at.candidate.metadata.name:
        yield from ready_says(step)
    elif not failure and name == at.serving:
        text = f"requests to Model {at.model.metadata.name} are answered by this version"
        yield Says("Ready", "True", "Serving", text)
    else:
        yield from _resting(at, version, (failure["reason"], failure.get("message", "")) if failure else None)
    yield from _governed(at, version, body)
    if digest := (body["artifact"] or {}).get("digest"):
        if (body["artifact"] or {}).get("verifiedTime"):
            yield Says("ArtifactVerified", "True", "DigestComputed", f"tree digest {digest}")
        else:
            text = f"tree digest {digest} (quick: no file was touched since it was computed; the bytes are read later)"
            yield Says("ArtifactVerified", "True", "QuickDigest", text)
        told = body["adapter"] or {}
        if version.spec.adapter.contract == "None":
            yield Says("ContractVerified", "Unknown", "ContractNone", CONTRACT_NONE)
        else:
            text = (
                f"{told.get('module')}:{told.get('className')} of {told.get('imageDigest', 'an image without digest')}"
            )
            yield Says("ContractVerified", "True", "InspectPassed", text)
    yield from infos_says(at, version)
    yield from submissions.says(at, version)
    yield from peft.says(at, version, body["failure"])
    yield Says("Serving", truth(name == at.serving), "Selected" if name == at.serving else "NotSelected")


def _resting(at: Situation, version: ModelVersion, failure: tuple[str, str] | None) -> Iterator[Says]:
    """The summary of a version that neither serves nor is on its way. `failure`: reason and message."""
    if failure is not None:
        yield Says("Ready", "False", *failure)
        yield Says("Stalled", "True", *failure)
    elif training.stage(at, version).code is not TRAINED:
        yield from training.training_says(at, version)
    elif found := lineage.objection(at.model, version):
        yield Says("Ready", "False", found.reason, found.message)
        yield Says("Stalled", "True", found.reason, found.message)
    else:
        yield Says("Ready", "True", "Recorded", "recorded, not serving now")


def _governed(at: Situation, version: ModelVersion, body: dict[str, Any]) -> Iterator[Says]:
    """What the rules about records say of it."""
    lacking = lineage.lacks(version)
    if not lacking:
        yield Says("LineageAccepted", "True", "LineageComplete", "spec.lineage has every key")
    elif found := lineage.objection(at.model, version):
        yield Says("LineageAccepted", "False", found.reason, found.message)
    else:
        text = f"it {lacking}; the Model's spec.lineagePolicy is Warn: it is used all the same"
        yield Says("LineageAccepted", "False", "LineageMissing", text)
    if version.spec.channel == "Production" and body["adapter"]:
        digest = Image.parse(version.spec.adapter.image).digest or body["adapter"].get("imageDigest")
        if digest:
            yield Says("DigestPinned", "True", "ImagePinned", f"its pods run {digest}, whatever becomes of the tag")
        else:
            text = "the container runtime told no digest of the image: its pods run what the tag stands for"
            yield Says("DigestPinned", "False", "DigestUnknown", f"{text}; name it by digest in spec.adapter.image")
