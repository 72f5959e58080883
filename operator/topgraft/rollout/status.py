"""The statuses of the three kinds, told from one situation so that no two of them contradict each other."""

from __future__ import annotations

from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.wire import Wire
from topgraft.rollout.conditions import Says
from topgraft.rollout.content import wire
from topgraft.rollout.instructions import ApplyStatus
from topgraft.rollout.modelstatus import model_status
from topgraft.rollout.progress import Progress
from topgraft.rollout.situation import Situation
from topgraft.rollout.upgradestatus import upgrade_status
from topgraft.rollout.versionstatus import version_status

Ours = Model | ModelVersion | AdapterUpgrade


def statuses(at: Situation, step: Progress) -> tuple[ApplyStatus, ...]:
    """The status writes that are due; none where nothing changed."""
    versions = tuple(due(version, version_status(at, step, version)) for version in at.seen.versions)
    others = (
        due(at.model, model_status(at, step)),
        *(due(upgrade, upgrade_status(at, step, upgrade)) for upgrade in at.seen.upgrades),
    )
    # A report counts as done once the Model tells of it: what it does to a version is told before.
    ordered = (*versions, *others) if at.defect is not None else (*others, *versions)
    return tuple(write for write in ordered if write)


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


def same(status: Wire, body: dict[str, Any]) -> bool:
    """Nearly always nothing is new, and what was read is what is told word for word."""
    return status.wire() == body or wire(status) == wire(type(status).model_validate(body))


def orphan(model: str) -> list[Says]:
    """What a version or upgrade says while its Model does not exist."""
    text = f"spec.modelRef.name names Model {model!r}, which does not exist in this namespace: create it"
    return [Says("Ready", "False", "ModelNotFound", text), Says("Reconciling", "True", "ModelNotFound", text)]
