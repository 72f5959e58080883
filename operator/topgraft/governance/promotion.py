"""Promotion: a version of one Model becomes a version of another, with the same artifacts and adapter (P21)."""

from __future__ import annotations

from typing import Any

from topgraft.api.meta import API_VERSION
from topgraft.api.modelversion import ModelVersion
from topgraft.governance import training

OF_ITS_MODEL = ("modelRef", "parentVersion", "revision", "source", "objectives")
"""What a version is in its own Model and not in another; a promotion is submitted nowhere."""


class NotPromotable(Exception):
    """Why a version cannot be promoted; the text says what to do."""


def promoted(version: ModelVersion, model: str, name: str, image: str) -> dict[str, Any]:
    """The ModelVersion `name` of Model `model`, held to the very bytes that were verified and to `image`.

    Raises NotPromotable for a version that is not trained or whose artifacts were never read.
    """
    meta, spec = version.metadata, version.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if (found := training.objection(version)) is not None:
        raise NotPromotable(found.message)
    if model == version.spec.model_ref.name:
        raise NotPromotable(f"ModelVersion {meta.name!r} is a version of Model {model!r} already: name another Model")
    read = version.status.artifact.digest if version.status.artifact else None
    digest = version.spec.artifact.digest or read
    if digest is None:
        text = (
            f"ModelVersion {meta.name!r} was never verified, so its artifacts have no digest to hold the promotion to"
        )
        raise NotPromotable(f"{text}: let it serve once, or set spec.artifact.digest")
    kept = {key: value for key, value in spec.items() if key not in OF_ITS_MODEL}
    if "trainInfo" in kept:
        # It is trained: its Job would run again.
        kept["trainInfo"] = {key: value for key, value in kept["trainInfo"].items() if key != "job"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": meta.namespace},
        "spec": {
            "modelRef": {"name": model},
            "source": {"type": "Promoted", "promoted": {"model": version.spec.model_ref.name, "version": meta.name}},
            **kept,
            "artifact": {**kept["artifact"], "digest": digest},
            "adapter": {**kept["adapter"], "image": image},
        },
    }
