"""Lineage: what a version must tell of its training, and what follows where it does not."""

from __future__ import annotations

from topgraft.api.model import Model
from topgraft.api.modelversion import Lineage, ModelVersion
from topgraft.governance.refusal import Refusal

KEYS = ("trainingDataHash", "featureParameters", "hyperparameters")
"""Hash of the training data, parameters of the feature engineering, snapshot of the hyperparameters."""


def missing(lineage: Lineage | None) -> tuple[str, ...]:
    """The required keys that are not given, in a fixed order. An empty map is an answer: there are none."""
    told = lineage or Lineage()
    values = (told.training_data_hash, told.feature_parameters, told.hyperparameters)
    return tuple(key for key, value in zip(KEYS, values, strict=True) if value is None)


def lacks(version: ModelVersion) -> str:
    """Which keys the version lacks, as the predicate of a sentence; "" where none."""
    keys = missing(version.spec.lineage)
    return f"lacks spec.lineage.{', spec.lineage.'.join(keys)}" if keys else ""


def objection(model: Model, version: ModelVersion) -> Refusal | None:
    """Why the policy Enforce keeps a version from being brought in."""
    lacking = lacks(version)
    if not lacking or model.spec.lineage_policy != "Enforce":
        return None
    text = f"ModelVersion {version.metadata.name!r} {lacking}; the Model's spec.lineagePolicy is Enforce: create a"
    return Refusal("LineageMissing", f"{text} ModelVersion with these (an empty map says that there are none)")
