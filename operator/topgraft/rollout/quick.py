"""`artifact.verify: Quick`: before the switch only what the file system tells is compared, after it every byte is read.

What is known is a tree digest and the stat digest of the same files, from a version whose bytes were read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.content import wire

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

RATE_MIB = 64
"""MiB a second that the reading after the switch takes from the storage: it goes on beside the requests."""


def known(at: Situation, version: ModelVersion) -> tuple[str, ...]:
    """Options of `topgraft digest` by which files that nobody touched are not read; none where nothing is known.

    An OCI image among the volumes makes the recorded digest one of both, from which the files' own cannot be told.
    """
    artifact = version.spec.artifact
    if artifact.verify != "Quick" or not artifact.volumes or any(volume.image for volume in artifact.volumes):
        return ()
    for source in (at.versions.get(at.serving or ""), version, at.parent(version)):
        found = source.status.artifact if source is not None else None
        if source is None or found is None or found.stat_digest is None:
            continue
        if wire(source.spec.artifact) == wire(artifact):
            return ("--known-stat", found.stat_digest, "--known-digest", found.digest)
    return ()


def unread(at: Situation) -> bool:
    """Whether what serves was taken as unchanged without its bytes being read."""
    version = at.versions.get(at.serving or "")
    if version is None or version.spec.artifact.verify != "Quick":
        return False
    report, recorded = at.report(version), version.status.artifact
    if report is not None and report.artifact is not None:
        return report.artifact.get("quick") is True
    return recorded is not None and recorded.verified_time is None


def reading_options(at: Situation) -> tuple[str, ...]:
    """Options of `topgraft digest` for the reading after the switch: slow where it begins with the bake."""
    return ("--rate-mib", str(RATE_MIB)) if unread(at) else ()
