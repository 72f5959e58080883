"""Derived versions follow what can be changed in their base: a text or a param edited there holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topgraft.api.meta import API_VERSION
from topgraft.api.modelversion import ModelVersion, ModelVersionSpec
from topgraft.rollout.content import digest, wire
from topgraft.rollout.derive import DESCRIPTIVE, FOLLOWED, SUBMITTED, derived_labels, described, owner_of
from topgraft.rollout.instructions import Apply
from topgraft.rollout.situation import Situation
from topgraft.rollout.target import derived

_FIELDS = [name for name, field in ModelVersionSpec.model_fields.items() if (field.alias or name) in DESCRIPTIVE]


def followers(at: Situation) -> Iterator[Apply]:
    """The derived versions that are behind their base. Without the base's record they stay as they are."""
    for version in at.seen.versions:
        base = at.parent(version)
        if base is None or not derived(version) or version.metadata.deletion_timestamp is not None:
            continue
        if at.seen.refusals.get(f"ModelVersion/{version.metadata.name}"):
            continue
        if _alike(base, version):
            continue
        wanted = described(base)
        if wanted != described(version) and not _done(version, wanted):
            yield Apply(_body(at, version, wanted))


def _alike(base: ModelVersion, version: ModelVersion) -> bool:
    """Whether the version plainly follows its base: asked at each look of each version, so nothing is serialised."""
    return all(getattr(base.spec, field) == getattr(version.spec, field) for field in _FIELDS)


def _done(version: ModelVersion, wanted: dict[str, Any]) -> bool:
    """Whether all that differs is what somebody else added: an apply takes away only what it has given."""
    given = version.metadata.annotations.get(FOLLOWED) == digest(wanted)
    return given and _within(wanted, described(version))


def _within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _within(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return all(item in whole for item in part)
    return bool(part == whole)


def _body(at: Situation, version: ModelVersion, wanted: dict[str, Any]) -> dict[str, Any]:
    """The whole object as the operator applies it: what it left out would be taken away."""
    spec = {name: value for name, value in wire(version.spec).items() if name not in (*DESCRIPTIVE, SUBMITTED)}
    info, given = version.spec.output_info, dict(wanted)
    if info is not None and info.data is not None:
        # The concepts belong to the weights: those of a base that was made anew are not theirs.
        given["outputInfo"] = {**wanted.get("outputInfo", {}), "data": wire(info.data)}
    meta = version.metadata
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "labels": derived_labels(at.model),
            "annotations": {FOLLOWED: digest(wanted)},
            "ownerReferences": owner_of(at.model),
        },
        "spec": {**spec, **given},
    }
