"""Does the new adapter fit: the same repository, class, interface and artifact bytes as the version it is derived from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout.content import digest
from topgraft.rollout.image import Image
from topgraft.rollout.preflight import Report


@dataclass(frozen=True)
class Refusal:
    """Why a candidate may not serve: a reason of the design and a text with the field, the values and the remedy."""

    reason: str
    message: str


def artifact_digest(version: ModelVersion, report: Report) -> str:
    """One digest for all artifact volumes: the tree digest of the mounted ones, OCI images by their manifest digest."""
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
        _artifact(version, parent, report),
        *(_identity(version, parent, report) if version.spec.adapter.contract == "Topgraft" else ()),
        None if upgrade is not None and upgrade.spec.allow_api_break else _api(version, parent, report),
    )
    return next((check for check in checks if check), None)


def _artifact(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Refusal | None:
    found = artifact_digest(version, report)
    expected = [("spec.artifact.digest", version.spec.artifact.digest)]
    if version.status.artifact is not None:
        expected.append(("this version's first verification", version.status.artifact.digest))
    if parent is not None and parent.status.artifact is not None:
        expected.append((f"ModelVersion {parent.metadata.name!r}", parent.status.artifact.digest))
    for source, value in expected:
        if value and value != found:
            message = f"the artifacts' digest is {found}, {source} says {value}: restore the files, or make a new ModelVersion"
            return Refusal("ArtifactsChanged", message)
    return None


def _identity(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Iterable[Refusal | None]:
    said = report.contract or {}
    known = parent.status.adapter if parent is not None else None
    pairs = (
        ("ModuleMismatch", "module", said.get("module"), version.spec.adapter.module, known and known.module),
        (
            "ClassMismatch",
            "className",
            said.get("className"),
            version.spec.adapter.class_name,
            known and known.class_name,
        ),
    )
    for reason, field, found, declared, recorded in pairs:
        expected = declared or recorded
        if expected and found != expected:
            source = f"spec.adapter.{field}" if declared else f"ModelVersion {parent.metadata.name!r}" if parent else ""
            message = (
                f"the adapter image provides {field} {found!r}, {source} says {expected!r}: an upgrade keeps its class"
            )
            yield Refusal(reason, message)


def _api(version: ModelVersion, parent: ModelVersion | None, report: Report) -> Refusal | None:
    if parent is None or parent.status.api is None or version.spec.adapter.contract != "Topgraft":
        return None
    new = (report.contract or {}).get("api")
    if new is None:
        changed = (report.contract or {}).get("apiDigest") != parent.status.api_digest
        breaks = ["the interface is too large to compare in detail and has another digest"] if changed else []
    else:
        old = parent.status.api
        breaks = [
            *breaking_changes("input", _items(old.inputs), new.get("inputs", []), added_may_be_required=False),
            *breaking_changes("output", _items(old.outputs), new.get("outputs", []), added_may_be_required=True),
        ]
    if not breaks:
        return None
    return Refusal("ApiIncompatible", f"{'; '.join(breaks)[:500]}: keep the interface or set spec.allowApiBreak")


def _items(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [i if isinstance(i, dict) else i.model_dump(by_alias=True, exclude_none=True) for i in items]


def breaking_changes(
    kind: str, old: list[dict[str, Any]], new: list[dict[str, Any]], *, added_may_be_required: bool
) -> list[str]:
    """The changes of an interface that break a caller (Foundry's rule): something removed or renamed, another type,
    optional made required, a new required input. What is new and optional breaks nobody; nor does a new output."""
    after = {item["name"]: item for item in new}
    before = {item["name"]: item for item in old}
    found = []
    for name, item in before.items():
        if name not in after:
            found.append(f"{kind} {name!r} was removed")
            continue
        now = after[name]
        for field in ("type", "dataType", "shape"):
            if item.get(field) != now.get(field):
                found.append(f"{kind} {name!r}: {field} was {item.get(field)!r}, is {now.get(field)!r}")
        if now.get("required", True) and not item.get("required", True) and not added_may_be_required:
            found.append(f"{kind} {name!r} was optional, is required")
        found += breaking_changes(
            f"{kind} {name!r} column",
            item.get("columns") or [],
            now.get("columns") or [],
            added_may_be_required=added_may_be_required,
        )
    if not added_may_be_required:
        found += [
            f"{kind} {n!r} is new and required" for n, i in after.items() if n not in before and i.get("required", True)
        ]
    return found
