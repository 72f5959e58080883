"""Volumes that one pod alone may mount (ReadWriteOncePod): the candidate gets them once the old pods are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.api.modelversion import ModelVersion

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

EXCLUSIVE = "topgraft.dev/exclusive"
"""Annotation of the Deployment and of the preflight pod of a version on such a volume."""


def exclusive(at: Situation, version: ModelVersion) -> bool:
    """Whether a claim of the version's artifacts is ReadWriteOncePod.

    Decided once, when its first object is made, and kept there: what is rendered must not depend on whether the
    claims were read again.
    """
    made = at.deployments.get(version.metadata.name) or at.preflight_of(version)
    if made is not None:
        return made.metadata.annotations.get(EXCLUSIVE) == "true"
    names = [v.persistent_volume_claim.claim_name for v in version.spec.artifact.volumes if v.persistent_volume_claim]
    claims = [claim for name in names if (claim := at.seen.claims.get(name))]
    return any("ReadWriteOncePod" in claim.spec.access_modes for claim in claims)
