"""Does the new adapter fit: repository, class, interface and artifact bytes of the version it is derived from."""

from __future__ import annotations

from collections.abc import Iterable

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.modelversion import ModelVersion
from topgraft.governance import heads
from topgraft.governance.apidiff import api_changes, breaking
from topgraft.governance.refusal import Refusal
from topgraft.governance.requirements import conflicts
from topgraft.rollout.content import digest, wire
from topgraft.rollout.image import Image
from topgraft.rollout.preflight import Report


def artifact_digest(version: ModelVersion, report: Report) -> str:
    """One digest for all artifact volumes: the tree digest of the mounted ones, OCI images by their manifest digest.

    Without any volume, of what the version stands in front of: containers by digest, or an address.
    """
    artifact = version.spec.artifact
    if not artifact.volumes:
        elsewhere = artifact.external and wire(artifact.external)
        return f"sha256:{digest([[wire(one) for one in artifact.containers], elsewhere])}"
    images = sorted((v.name, Image.parse(v.image.reference).digest) for v in version.spec.artifact.volumes if v.image)
    tree = (report.artifact or {}).get("digest", "")
    return f"sha256:{digest([tree, images])}" if images else tree


def refused_before_start(
    version: ModelVersion, parent: ModelVersion | None, upgrade: AdapterUpgrade | None
) -> Refusal | None:
    """What the objects alone tell, before any pod is made."""
    if parent is None or (upgrade is not None and upgrade.spec.allow_repository_change):
        return None
    old, new = Image.parse(parent.spec.adapter.image), Image.parse(version.spec.adapter.image)
    if old.canonical_repository == new.canonical_repository:
        return None
    return Refusal(
        "AdapterRepositoryChanged",
        f"spec.adapter.image is of repository {new.repository!r}, ModelVersion {parent.metadata.name!r} runs "
        f"{old.repository!r}: use that repository or set spec.allowRepositoryChange",
    )


def refused(
    version: ModelVersion, parent: ModelVersion | None, upgrade: AdapterUpgrade | None, report: Report
) -> Refusal | None:
    """Judge a complete report against the version's own declarations and against its parent's record."""
    checks = (
        _artifact(version, parent, report) if report.artifact is not None else None,
        *(_identity(version, parent, report) if version.spec.adapter.contract == "Topgraft" else ()),
        _dependencies(version, report),
        _head(version, report),
        None if upgrade is not None and upgrade.spec.allow_api_break else _api(version, parent, report),
    )
    return next((check for check in checks if check), None)


def _artifact(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Refusal | None:
    found = artifact_digest(version, report)
    if (report.artifact or {}).get("files") == 0:
        names = ", ".join(repr(volume.name) for volume in version.spec.artifact.volumes)
        return Refusal("ArtifactEmpty", f"spec.artifact.volumes ({names}) hold no file: fill them or mend the subPath")
    expected = [("spec.artifact.digest", version.spec.artifact.digest)]
    if version.status.artifact is not None:
        expected.append(("this version's first verification", version.status.artifact.digest))
    if parent is not None and parent.status.artifact is not None:
        expected.append((f"ModelVersion {parent.metadata.name!r}", parent.status.artifact.digest))
    for source, value in expected:
        if value and value != found:
            message = (
                f"the artifacts' digest is {found}, {source} says {value}: restore the files or make a ModelVersion"
            )
            return Refusal("ArtifactsChanged", message)
    return None


def _identity(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Iterable[Refusal | None]:
    said, known = report.contract, parent.status.adapter if parent is not None else None
    if said is None:
        return
    declared = version.spec.adapter
    pairs = (
        ("ModuleMismatch", "module", said.module, declared.module, known.module if known else None),
        ("ClassMismatch", "className", said.class_name, declared.class_name, known.class_name if known else None),
    )
    for reason, field, found, own, recorded in pairs:
        expected = own or recorded
        if expected and found != expected:
            source = f"spec.adapter.{field}" if own else f"ModelVersion {version.spec.parent_version!r}"
            yield Refusal(
                reason, f"the image provides {field} {found!r}, {source} says {expected!r}: an upgrade keeps it"
            )


def _api(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Refusal | None:
    old = parent.status if parent is not None else None
    if old is None or old.api_digest is None or report.contract is None or report.contract.api_digest == old.api_digest:
        return None
    new = report.contract.api
    if new is None or old.api is None:
        breaks = "the interface is too long to be compared item by item, and its digest differs"
    else:
        breaks = "; ".join(map(str, breaking(api_changes(old.api, new))))
    if not breaks:
        return None
    return Refusal("ApiIncompatible", f"{breaks[:500]}: keep the interface or set spec.allowApiBreak")


def _head(version: ModelVersion, report: Report) -> Refusal | None:
    """What became of the prediction head; where the preflight may not mount the artifacts the pods' load() tells."""
    if report.contract is None or report.exclusive:
        return None
    return heads.refused(version.spec.head_conversion, report.contract.head_conversion)


def _dependencies(version: ModelVersion, report: Report) -> Refusal | None:
    """Whether the image's packages are those that the artifacts were made for."""
    asked = version.spec.artifact.compatibility
    if not asked or report.contract is None:
        return None
    if report.contract.requirements is None:
        text = "spec.artifact.compatibility cannot be checked: the image has too many packages to list them"
        return Refusal("RequirementsUnknown", f"{text}; install fewer, or a newer topgraft-adapter")
    if found := conflicts(asked, report.contract.requirements):
        text = "; ".join(found)[:500]
        return Refusal("DependencyConflict", f"spec.artifact.compatibility: {text}; build the image with what fits")
    return None
