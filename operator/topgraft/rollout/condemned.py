"""Which versions a defect report makes unfit to serve: a P0 is an order to leave, however healthy the pods are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.api.modelversion import Failure
from topgraft.rollout import defect

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


def reported(at: Situation, version: str | None) -> Failure | None:
    """The report, not acted on yet, that orders to leave what serves, or not to bring in what is on its way."""
    report = at.defect
    if report is None or report.severity != defect.ORDERS_ROLLBACK or report.version != version:
        return None
    if version not in (at.serving, at.target.version):
        return None
    attempt = at.target.attempt if version == at.target.version else at.attempt_of_serving
    return Failure(attempt_hash=attempt, reason=defect.REASON, message=defect.failure_text(report), time=at.now)


def report_of_serving(at: Situation) -> str | None:
    """The report against what serves that a decision to leave it answers, whatever else it is made for."""
    return str(at.defect) if at.defect is not None and reported(at, at.serving) is not None else None


def condemned(at: Situation) -> Failure | None:
    """The defect for which what serves is to be left: it may be healthy, and the way back cold."""
    failure = at.failure_of(at.serving, at.attempt_of_serving) if at.serving else None
    return failure if failure is not None and failure.reason == defect.REASON else None


def defective(at: Situation, version: str) -> bool:
    """Whether a defect was reported that makes a version unfit to go back to."""
    record, left = at.versions.get(version), at.decision
    failure = record.status.failure if record is not None else None
    if failure is not None and failure.reason == defect.REASON:
        return True
    if left is not None and left.leaves == "Failed" and (left.origin, left.reason) == (version, defect.REASON):
        return True
    return version == at.serving and condemned(at) is not None
