"""Which versions are trained: those that came with their artifacts, and those whose own Job has ended well."""

from __future__ import annotations

from topgraft.api.modelversion import ModelVersion
from topgraft.api.training import TrainingJob
from topgraft.governance.codes import REQUIRE_TRAINED, TRAINED, UNTRAINED
from topgraft.governance.refusal import Refusal

UNTRAINED_REASON = "WorkflowRequireTrainedModel"


def training_job(version: ModelVersion) -> TrainingJob | None:
    return version.spec.train_info.job if version.spec.train_info is not None else None


def trained(version: ModelVersion) -> bool:
    """By the record: a Job that has ended may be gone since."""
    return training_job(version) is None or version.status.code == TRAINED.number


def objection(version: ModelVersion) -> Refusal | None:
    """Why a version may neither be served nor upgraded yet."""
    if trained(version):
        return None
    status = version.status
    told = f"{status.code} {status.name}" if status.code is not None else str(UNTRAINED)
    text = (
        f"ModelVersion {version.metadata.name!r} is not trained ({told}): {status.description or 'not looked at yet'}"
    )
    return Refusal(UNTRAINED_REASON, f"{text} ({REQUIRE_TRAINED})", final=False)
