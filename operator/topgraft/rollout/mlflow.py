"""The mirror in MLflow: what it is to show, and what is told of it. Never in the way: no step waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from topgraft.api.modelversion import ModelVersion
from topgraft.governance.mlflow import Outcome, Registration, record
from topgraft.rollout.conditions import Says, recorded
from topgraft.rollout.content import wire
from topgraft.rollout.derive import content_of

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

NOT_CONFIGURED = "spec.mlflow is set, but the operator was started without --mlflow: set operator.mlflow in the chart"


def wanted(at: Situation) -> Registration | None:
    """All that is to be mirrored; None where nobody asks for it."""
    asked, meta = at.model.spec.mlflow, at.model.metadata
    if asked is None or not at.seen.mirrored.configured:
        return None
    versions = sorted(at.seen.versions, key=lambda v: (v.metadata.creation_timestamp, v.metadata.name))
    return Registration(
        registered_model=asked.registered_model or f"{meta.namespace}.{meta.name}",
        owner=f"{meta.namespace}/{meta.name}",
        description=at.model.spec.description or "",
        records=tuple(record(version, content_of(version)) for version in versions),
        serving=at.serving if at.serving in at.versions else None,
        previous=at.previous if at.previous in at.versions else None,
    )


def due(at: Situation) -> Registration | None:
    """What is not mirrored yet, by the status: nothing is asked of MLflow again after a restart."""
    registration, known = at.registration, at.model.status.mlflow
    if registration is None:
        return None
    told = all(version.status.mlflow is not None for version in at.seen.versions)
    return None if told and known is not None and known.digest == registration.digest else registration


def _done(at: Situation) -> Outcome | None:
    """The outcome, where it is that of what is to be mirrored now."""
    outcome, registration = at.seen.mirrored.outcome, at.registration
    return outcome if outcome and registration and outcome.digest == registration.digest else None


def model_row(at: Situation) -> dict[str, Any] | None:
    """status.mlflow of the Model."""
    registration, known, done = at.registration, at.model.status.mlflow, _done(at)
    if registration is None:
        return None
    if done is not None and done.error is None:
        return {"registeredModel": registration.registered_model, "digest": registration.digest}
    return wire(known) if known is not None else None


def version_row(at: Situation, version: ModelVersion) -> dict[str, Any] | None:
    """status.mlflow of a version: its number stays, also when the mirror is taken away."""
    outcome = at.seen.mirrored.outcome
    number = outcome.versions.get(version.metadata.name) if outcome else None
    if number is not None:
        return {"version": number}
    return wire(version.status.mlflow) if version.status.mlflow is not None else None


def news(at: Situation, version: ModelVersion) -> bool:
    """Whether its number in MLflow is known and not told yet."""
    row, told = version_row(at, version), version.status.mlflow
    return row is not None and (told is None or told.version != row["version"])


def says(at: Situation) -> Iterator[Says]:
    """MlflowSynced, where it is asked for. While the mirror works it says what it said before."""
    if at.model.spec.mlflow is None:
        return
    if not at.seen.mirrored.configured:
        yield Says("MlflowSynced", "False", "MlflowNotConfigured", NOT_CONFIGURED)
        return
    registration, done = at.registration, _done(at)
    error = at.seen.mirrored.outcome.error if at.seen.mirrored.outcome else None
    before = recorded(at.model.status.conditions, "MlflowSynced")
    if error is not None:
        yield Says("MlflowSynced", "False", *error)
    elif registration is not None and (done is not None or due(at) is None):
        text = f"mirrored as registered model {registration.registered_model!r}"
        yield Says("MlflowSynced", "True", "Mirrored", text)
    elif before is not None and before.reason != "MlflowNotConfigured":
        yield Says("MlflowSynced", before.status, before.reason, before.message)
    else:
        yield Says("MlflowSynced", "Unknown", "Mirroring", "nothing is mirrored yet")
