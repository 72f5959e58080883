"""The training of a version by its own Job: started once, because somebody made the version, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from topgraft.api.meta import API_VERSION
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.training import TrainingJob
from topgraft.governance import codes
from topgraft.governance.codes import Code
from topgraft.governance.training import training_job
from topgraft.rollout.conditions import Says
from topgraft.rollout.content import digest, wire
from topgraft.rollout.instructions import Apply, Delete, Write
from topgraft.rollout.jobview import Job
from topgraft.rollout.podspec import CONTAINER_SECURITY, POD_SECURITY, TMP, labels
from topgraft.rollout.situation import Situation
from topgraft.rollout.trained import overwritten, records
from topgraft.rollout.views import RETRY_AT, ROLE_LABEL, VERSION_LABEL

NAME_LIMIT = 63
"""A Job's name is a label of its pods."""

DESCRIPTION_LIMIT = 1024


@dataclass(frozen=True)
class Stage:
    """How far the training is: its code, a sentence, and the reason that conditions give."""

    code: Code
    text: str
    reason: str


PRETRAINED = Stage(codes.TRAINED, "the version came with its artifacts", "Trained")


def job_name(version: str) -> str:
    name = f"{version}-train"
    return name if len(name) <= NAME_LIMIT else f"{version[:50]}-{digest(version)[:6]}-train"


def training_writes(at: Situation) -> Iterator[Write]:
    """Make the Jobs that are due.

    Invariants: each version's Job is made once, whatever happens to its Model or to other versions; it is made again
    only after it failed or was deleted, and somebody asked for it (retry-at). A trained version is never trained again,
    nor one that is made anew like it. No Job writes over what has pods before somebody asked for it.
    """
    for version in at.seen.versions:
        asked, status = training_job(version), version.status
        if asked is None or version.metadata.deletion_timestamp is not None or status.code == codes.TRAINED.number:
            continue
        job, token = _job(at, version), version.metadata.annotations.get(RETRY_AT, "")
        again = status.training is None or (status.training.retry_at or "") != token
        if job is None and again and (token or overwritten(at, version, asked) is None):
            yield Apply(_body(at.model, version, asked, token), new=True)
        elif job is not None and job.failed is not None and _outdated(job, token):
            yield Delete("Job", job.metadata.namespace, job.name, job.metadata.uid)


def _outdated(job: Job, token: str) -> bool:
    """Whether somebody asked for another try since the Job was made."""
    return job.metadata.deletion_timestamp is None and job.metadata.annotations.get(RETRY_AT, "") != token


def _job(at: Situation, version: ModelVersion) -> Job | None:
    """The version's Job; one that is being deleted counts until it is gone."""
    name, uid = job_name(version.metadata.name), version.metadata.uid
    return next((job for job in at.seen.jobs if job.name == name and job.metadata.owned_by(uid)), None)


def stage(at: Situation, version: ModelVersion) -> Stage:
    """How far the version's training is: by its own Job and by nothing else."""
    status, asked = version.status, training_job(version)
    if asked is None:
        return PRETRAINED
    if status.code == codes.TRAINED.number:
        return Stage(codes.TRAINED, status.description or "", "Trained")
    job, name = _job(at, version), job_name(version.metadata.name)
    if job is not None and job.metadata.deletion_timestamp is None:
        return _of_job(job, status.code)
    if text := at.seen.refusals.get(f"Job/{name}"):
        return Stage(codes.UNTRAINED, f"the training Job {name!r} cannot be made: {text}", "TrainingRefused")
    token = version.metadata.annotations.get(RETRY_AT, "")
    if job is None and not token and status.training is None and (other := overwritten(at, version, asked)) is not None:
        text = f"the training Job {name!r} would write over the artifacts of {other}, which has pods"
        remedy = f"name another place in a new version, or annotate this one with {RETRY_AT}=<any value> to do it"
        return Stage(codes.UNTRAINED, f"{text}: {remedy}", "TrainingWouldOverwrite")
    if job is not None or status.training is None or (status.training.retry_at or "") != token:
        return Stage(codes.UNTRAINED, f"the training Job {name!r} is being made", "Untrained")
    again = f"to train again annotate {RETRY_AT}=<any new value>"
    if status.code in codes.ENDED_BADLY:
        failed = codes.TIMED_OUT if status.code == codes.TIMED_OUT.number else codes.FAILED
        return Stage(failed, status.description or again, "TrainingFailed")
    return Stage(codes.UNTRAINED, f"the training Job {name!r} was deleted before its end; {again}", "TrainingLost")


def _of_job(job: Job, before: int | None) -> Stage:
    """`before`: the code so far. A pod that ends is not counted for a moment; what has run goes on running."""
    name, status = job.name, job.status
    if job.condition("Complete"):
        return Stage(codes.TRAINED, f"the training Job {name!r} has ended well", "Trained")
    if (failed := job.failed) is not None:
        code = codes.TIMED_OUT if failed.reason == "DeadlineExceeded" else codes.FAILED
        why = f"{failed.reason}: {failed.message}"[:512]
        again = f"to train again annotate the version with {RETRY_AT}=<any new value>"
        return Stage(code, f"the training Job {name!r} failed: {why}; {again}", "TrainingFailed")
    if job.spec.suspend:
        if before in codes.UNDER_WAY:
            return Stage(
                codes.QUEUED, f"the training Job {name!r} was suspended and waits for its turn", "TrainingQueued"
            )
        return Stage(codes.UNTRAINED, f"to start the training set spec.suspend of Job {name!r} to false", "Untrained")
    if before == codes.TRAINING.number or status.ready or status.failed or status.succeeded:
        return Stage(codes.TRAINING, f"the training Job {name!r} runs", "Training")
    return Stage(codes.QUEUED, f"the training Job {name!r} waits for its pod to run", "TrainingQueued")


def training_status(at: Situation, version: ModelVersion) -> dict[str, Any]:
    """The part of a version's status that its training alone decides."""
    now, job, old = stage(at, version), _job(at, version), version.status.training
    told: dict[str, Any] = {"code": now.code.number, "name": now.code.name, "description": now.text[:DESCRIPTION_LIMIT]}
    if training_job(version) is not None and job is not None:
        token = job.metadata.annotations.get(RETRY_AT)
        told["training"] = {"job": job.name, "uid": job.metadata.uid} | ({"retryAt": token} if token else {})
    elif old is not None:
        told["training"] = wire(old)
    return told


def training_records(at: Situation) -> list[dict[str, Any]]:
    """`status.trained` of the Model."""
    jobs = [version for version in at.seen.versions if training_job(version) is not None]
    done = [version for version in jobs if stage(at, version).code is codes.TRAINED]
    begun = {version.metadata.name for version in jobs if version.status.training or _job(at, version)}
    return records(at, done, begun)


def news(at: Situation, version: ModelVersion) -> bool:
    """Whether the training says something that the version's status does not say yet."""
    if training_job(version) is None:
        return False
    old = version.status
    known = {"code": old.code, "name": old.name, "description": old.description}
    return training_status(at, version) != known | ({"training": wire(old.training)} if old.training else {})


def training_says(at: Situation, version: ModelVersion) -> Iterator[Says]:
    """The conditions of a version that is not trained."""
    now = stage(at, version)
    text = f"{now.code}: {now.text}"
    match now.reason:
        case "Training" | "TrainingQueued":
            yield Says("Ready", "Unknown", now.reason, text)
            yield Says("Reconciling", "True", now.reason, text)
        case "Untrained":
            yield Says("Ready", "Unknown", now.reason, text)
            yield Says("Suspended", "True", now.reason, text)
        case _:
            yield Says("Ready", "False", now.reason, text)
            yield Says("Stalled", "True", now.reason, text)


def _body(model: Model, version: ModelVersion, asked: TrainingJob, token: str) -> dict[str, Any]:
    """The Job. It belongs to the version: with that it ends, whatever it has cost."""
    meta = version.metadata
    owner = {"apiVersion": API_VERSION, "kind": "ModelVersion", "name": meta.name, "uid": meta.uid, "controller": True}
    named = {VERSION_LABEL: meta.name, ROLE_LABEL: "training", "app.kubernetes.io/managed-by": "topgraft"}
    spec: dict[str, Any] = {
        "backoffLimit": asked.backoff_limit or 0,
        # Without the Model's label: what the operator keeps in memory are pods that serve or check.
        "template": {"metadata": {"labels": {**asked.labels, **named}}, "spec": _pod(model, version, asked)},
    }
    if asked.suspend:
        spec["suspend"] = True
    if asked.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = asked.active_deadline_seconds
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(meta.name),
            "namespace": meta.namespace,
            "labels": {**asked.labels, **labels(model, meta.name, "training")},
            "annotations": {RETRY_AT: token} if token else {},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def _pod(model: Model, version: ModelVersion, asked: TrainingJob) -> dict[str, Any]:
    serving = wire(model.spec.serving)
    volumes, mounts = _volumes(asked)
    container: dict[str, Any] = {
        "name": "train",
        "image": asked.image,
        "env": _environment(model, version, asked),
        "securityContext": {k: v for k, v in CONTAINER_SECURITY.items() if k != "readOnlyRootFilesystem"},
        "volumeMounts": [*mounts, dict(TMP)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    for name in ("command", "args"):
        if given := getattr(asked, name):
            container[name] = list(given)
    if asked.resources is not None:
        container["resources"] = wire(asked.resources)
    if asked.pull_policy is not None:
        container["imagePullPolicy"] = asked.pull_policy
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": {**POD_SECURITY, **serving.get("podSecurityContext", {})},
        "containers": [container],
        "volumes": [*volumes, {"name": TMP["name"], "emptyDir": {}}],
    }
    if asked.service_account_name:
        spec["serviceAccountName"] = asked.service_account_name
    else:
        spec["automountServiceAccountToken"] = False
    if secrets := serving.get("imagePullSecrets"):
        spec["imagePullSecrets"] = secrets
    return spec | {k: v for k, v in wire(asked).items() if k in ("nodeSelector", "tolerations")}


def _volumes(asked: TrainingJob) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    volumes, mounts = [], []
    for volume in asked.volumes:
        name, given = f"train-{volume.name}", wire(volume)
        mount: dict[str, Any] = {"name": name, "mountPath": volume.mount_path}
        if volume.read_only:
            mount["readOnly"] = True
        if (claim := volume.persistent_volume_claim) is not None:
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim.claim_name}})
            mount |= {"subPath": claim.sub_path} if claim.sub_path else {}
        else:
            volumes.append({"name": name, **{k: given[k] for k in ("configMap", "secret") if k in given}})
        mounts.append(mount)
    return volumes, mounts


def _environment(model: Model, version: ModelVersion, asked: TrainingJob) -> list[dict[str, Any]]:
    info = version.spec.train_info
    assert info is not None
    given = {
        "TOPGRAFT_MODEL": model.metadata.name,
        "TOPGRAFT_VERSION": version.metadata.name,
        "TOPGRAFT_TRAIN_PARAMS": json.dumps(info.params, sort_keys=True, ensure_ascii=False),
    }
    if info.dataset is not None:
        given |= {"DATASET_NAME": info.dataset.name, "DATASET_VERSION": info.dataset.version or ""}
    if (resumed := info.resume_from_model) is not None:
        given |= {"RESUME_FROM_MODEL": resumed.model, "RESUME_FROM_VERSION": resumed.version or ""}
    named = {name: {"name": name, "value": value} for name, value in given.items()}
    return list((named | {item.name: wire(item) for item in asked.env}).values())
