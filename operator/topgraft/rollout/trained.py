"""What keeps a training from running twice: its record on the Model, and pods on what it would write over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from topgraft.api.artifact import ClaimSource
from topgraft.api.model import TRAINED_LIMIT, Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.training import TrainingJob
from topgraft.governance import codes
from topgraft.governance.training import training_job
from topgraft.rollout.content import digest, wire
from topgraft.rollout.derive import identity
from topgraft.rollout.observed import Observed

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

ANEW = "trained before it was created anew, as the Model's status.trained tells"


def training_content(version: ModelVersion) -> str:
    """Identity of what is trained, and of the order to train it."""
    spec = wire(version.spec)
    return digest({"version": identity(spec), "trainInfo": spec.get("trainInfo")})[:16]


def remembered(seen: Observed, model: Model) -> Observed:
    """The look, with the end of their training in those versions that lost it: by `kubectl replace --force`, a Flux
    force or a revert a version is made anew without its status, and another training would write over what serves."""
    known = {(record.version, record.content) for record in model.status.trained}
    if not known:
        return seen
    return replace(seen, versions=tuple(_remembered(version, known) for version in seen.versions))


def _remembered(version: ModelVersion, known: set[tuple[str, str]]) -> ModelVersion:
    status = version.status
    if training_job(version) is None or status.code == codes.TRAINED.number or status.training is not None:
        return version
    if (version.metadata.name, training_content(version)) not in known:
        return version
    told = status.model_copy(update={"code": codes.TRAINED.number, "description": ANEW})
    return version.model_copy(update={"status": told})


def records(at: Situation, trained: list[ModelVersion], begun: set[str]) -> list[dict[str, Any]]:
    """`status.trained`: of `trained` the newest first, then the versions that are gone.

    `begun`: the names whose version has a Job of its own. Under them an older record would be of other bytes.
    """
    newest = sorted(trained, key=lambda v: (v.metadata.creation_timestamp, v.metadata.name), reverse=True)
    told = [{"version": v.metadata.name, "content": training_content(v)} for v in newest]
    named = begun | {version.metadata.name for version in trained}
    kept = [wire(record) for record in at.model.status.trained if record.version not in named]
    return [*told, *kept][:TRAINED_LIMIT]


def overwritten(at: Situation, version: ModelVersion, asked: TrainingJob) -> str | None:
    """A version with pods whose artifacts the Job would write over; None where there is none."""
    targets = list(_targets(version, asked))
    for name in sorted({*at.deployments, *filter(None, [at.serving])}):
        other = at.versions.get(name)
        if other is not None and any(_meet(one, place) for one in targets for place in _places(other)):
            return name
    return None


Place = tuple[str, tuple[str, ...]]
"""A claim, and the parts of a path in it."""


def _place(claim: ClaimSource) -> Place:
    return claim.claim_name, PurePosixPath(claim.sub_path or "").parts


def _places(version: ModelVersion) -> list[Place]:
    claims = (volume.persistent_volume_claim for volume in version.spec.artifact.volumes)
    return [_place(claim) for claim in claims if claim is not None]


def _targets(version: ModelVersion, asked: TrainingJob) -> Iterator[Place]:
    """Where the Job writes: in a volume that holds the version's own artifacts at their place, else all over it."""
    own = _places(version)
    for volume in asked.volumes:
        if (claim := volume.persistent_volume_claim) is not None and not volume.read_only:
            written = _place(claim)
            inside = [place for place in own if _meet(written, place) and len(place[1]) >= len(written[1])]
            yield from inside or [written]


def _meet(one: Place, other: Place) -> bool:
    """Whether one of two places is the other, or is in it."""
    shorter = min(len(one[1]), len(other[1]))
    return one[0] == other[0] and one[1][:shorter] == other[1][:shorter]
