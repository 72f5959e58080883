"""What the volume claims under the artifacts ask of the pods: one node for all of them, or one pod at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.views import PersistentVolumeClaim

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

EXCLUSIVE = "topgraft.dev/exclusive"
"""Annotation of the Deployment and of the preflight pod of a version on a ReadWriteOncePod volume."""
ONE_NODE = "topgraft.dev/one-node"
"""Annotation of the Deployment of a version on a ReadWriteOnce volume."""


def exclusive(at: Situation, version: ModelVersion) -> bool:
    """Whether one pod alone may mount an artifact (ReadWriteOncePod): the candidate gets it once the old pods are gone.

    Decided once, when its first object is made, and kept there: what is rendered must not depend on whether the
    claims were read again.
    """
    made = at.deployments.get(version.metadata.name) or at.preflight_of(version)
    if made is not None:
        return made.metadata.annotations.get(EXCLUSIVE) == "true"
    return any("ReadWriteOncePod" in claim.spec.access_modes for claim in claims_of(at, version))


def on_one_node(at: Situation, version: ModelVersion) -> bool:
    """Whether an artifact's volume is ReadWriteOnce, so that all pods of the Model must share a node.

    Decided once, when the Deployment is made, and kept in its annotation, as for `exclusive`.
    """
    live = at.deployments.get(version.metadata.name)
    if live is not None:
        return live.metadata.annotations.get(ONE_NODE) == "true"
    return any(_once(claim) for claim in claims_of(at, version))


def shares_node(at: Situation, version: ModelVersion, claim_name: str | None) -> bool:
    """Whether a further pod that mounts this claim has to run beside the Model's: they mount it too, ReadWriteOnce."""
    return any(_once(claim) for claim in claims_of(at, version) if claim.name == claim_name)


def claims_of(at: Situation, version: ModelVersion) -> list[PersistentVolumeClaim]:
    """The claims under the version's artifacts, as far as they exist."""
    used = (volume.persistent_volume_claim for volume in version.spec.artifact.volumes)
    return [claim for one in used if one is not None and (claim := at.seen.claims.get(one.claim_name)) is not None]


def _once(claim: PersistentVolumeClaim) -> bool:
    return set(claim.spec.access_modes) == {"ReadWriteOnce"}
