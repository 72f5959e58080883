"""What keeps a version from being brought in, whoever names it: a pin, an upgrade, a release, or being the newest."""

from __future__ import annotations

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance import channels, lineage, training
from topgraft.governance.refusal import Refusal


def objection(model: Model, version: ModelVersion) -> Refusal | None:
    """Why a version may not be brought in, whoever names it."""
    return training.objection(version) or channels.objection(version) or lineage.objection(model, version)
