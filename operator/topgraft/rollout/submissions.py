"""What the statuses say of objectives: submissions, releases, and versions that have to be submitted again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.modelversion import ModelVersion
from topgraft.governance import releases
from topgraft.governance import submissions as rules
from topgraft.rollout.conditions import Says
from topgraft.rollout.content import wire
from topgraft.rollout.situation import Situation

RESUBMIT = "ResubmissionRequired"


def version_records(at: Situation, version: ModelVersion) -> list[dict[str, Any]]:
    released = releases.released(at.model, version.metadata.name)
    return [wire(record) for record in rules.submissions(at.model, version, released, at.now)]


def news(at: Situation, version: ModelVersion) -> bool:
    """Whether a version at rest has something to tell all the same; one that was never submitted costs nothing."""
    if version.spec.objectives or version.status.submissions:
        told = [wire(record) for record in version.status.submissions]
        if told != version_records(at, version):
            return True
    said = next((c.message for c in version.status.conditions if c.type == RESUBMIT), None)
    return said != next((one.message for one in says(at, version)), None)


def says(at: Situation, version: ModelVersion) -> Iterator[Says]:
    """A version made from one that was submitted says that it was not, until somebody does it."""
    missing = rules.to_resubmit(version, at.submitted)
    if missing:
        which = ", ".join(f"{objective!r} (ModelVersion {name!r} was)" for objective, name in sorted(missing.items()))
        text = f"not submitted to {which}: add it to spec.objectives of this ModelVersion, or go on without"
        yield Says(RESUBMIT, "True", "ParentWasSubmitted", text)


def upgrade_says(at: Situation) -> Iterator[Says]:
    """The same on the upgrade that made the version."""
    version = at.versions.get(at.target.version or "")
    if version is not None and version.metadata.name != at.target.base:
        for one in says(at, version):
            yield Says(one.type, one.status, one.reason, f"{version.metadata.name}: {one.message}")


def model_records(at: Situation) -> list[dict[str, Any]]:
    if not at.model.spec.objectives and not at.model.status.objectives:
        return []
    return [wire(record) for record in releases.records(at.model, at.versions, at.now)]


def notices(at: Situation) -> Iterator[Says]:
    if at.model.spec.objectives and (blocked := releases.waiting(at.model, at.versions)):
        yield Says("ReleaseWaiting", "True", blocked.reason, blocked.message)
