"""Derived versions: a base's artifacts and lineage under an upgrade's adapter."""

from __future__ import annotations

from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.meta import API_VERSION
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.target import Resolved
from topgraft.governance.sourcetypes import UPGRADABLE
from topgraft.rollout.content import digest, once, wire
from topgraft.rollout.image import Image
from topgraft.rollout.views import MODEL_LABEL

DESCRIPTIVE = ("visibility", "metadata", "license", "description", "notes", "outputInfo")
FOLLOWED = "topgraft.dev/followed"
"""On a derived version: digest of what it was last given of its base's descriptive fields."""
SUBMITTED = "objectives"
"""Invariant: nobody but a person writes to which objectives a version is submitted."""
OF_THE_BASE = ("parentVersion", "revision", SUBMITTED)
"""What a base does not hand down."""


def owner_of(model: Model) -> list[dict[str, Any]]:
    """The owner reference that makes `model` the controller of a child, so that the child goes with it."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "Model",
            "name": model.metadata.name,
            "uid": model.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def upgraded_spec(base: ModelVersion, upgrade: AdapterUpgrade, found: Resolved | None = None) -> dict[str, Any]:
    """The base's spec with what the upgrade names replaced, artifact and lineage byte-equal.

    `found`: what the upgrade's target stood for; an image that the base runs already stays as the base names it.
    """
    spec = wire(base.spec)
    ordered = wire(upgrade.spec.adapter)
    made = {**spec, "adapter": {**spec["adapter"], **ordered}}
    if found is None or found.digest is None:
        return made
    image, recorded = Image.parse(base.spec.adapter.image), base.status.adapter
    if found.digest not in (image.digest, recorded.image_digest if recorded else None):
        made["adapter"]["image"] = Image(image.repository, found.tag or "").at(found.digest)
        source = {"type": UPGRADABLE, **spec.get("source", {}), "commit": found.commit, "tag": found.tag}
        made["source"] = {name: value for name, value in source.items() if value is not None}
    return made


def same_content(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two version specs run the same code on the same artifacts; who made them does not count."""
    return identity(one) == identity(other)


def identity(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        name: spec[name] for name in ("modelRef", "artifact", "adapter", "lineage", "headConversion") if name in spec
    }


@once
def content_of(version: ModelVersion) -> str:
    """Identity of what a version runs on what; a version re-created under its name with other content differs."""
    return digest(identity(wire(version.spec)))[:16]


def derived_name(model: str, spec: dict[str, Any]) -> str:
    return f"{model}-{digest(identity(spec))[:8]}"


def described(version: ModelVersion) -> dict[str, Any]:
    """What can be changed in a version, in which its derived ones follow it: all that describes it but the concepts."""
    fields = {key: value for key, value in wire(version.spec).items() if key in DESCRIPTIVE}
    if "outputInfo" in fields:
        fields["outputInfo"] = {key: value for key, value in fields["outputInfo"].items() if key != "data"}
    return fields


def derived_labels(model: Model) -> dict[str, str]:
    return {MODEL_LABEL: model.metadata.name, "app.kubernetes.io/managed-by": "topgraft"}


def derived_body(model: Model, base: ModelVersion, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The ModelVersion object of a derived version; its descriptive fields follow the base's."""
    root = {key: value for key, value in spec.items() if key not in (*DESCRIPTIVE, *OF_THE_BASE)}
    if base.spec.source is not None and root.get("source") == wire(base.spec.source):
        # Which commit and tag the base was made from says nothing of the new adapter's.
        root["source"] = {key: value for key, value in root["source"].items() if key not in ("commit", "tag")}
    if "job" in root.get("trainInfo", {}):
        # What the base was trained from, but not the order to train it.
        root["trainInfo"] = {key: value for key, value in root["trainInfo"].items() if key != "job"}
    copied = {key: value for key, value in wire(base.spec).items() if key in DESCRIPTIVE}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": derived_labels(model),
            "annotations": {FOLLOWED: digest(described(base))},
            "ownerReferences": owner_of(model),
        },
        "spec": {**root, **copied, "parentVersion": base.metadata.name},
    }
