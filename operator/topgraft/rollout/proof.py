"""What speaks for the candidate and against it before it has answered any request: the objects and its preflight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topgraft.governance.refusal import Refusal
from topgraft.rollout import peft
from topgraft.rollout.contract import refused, refused_before_start

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


def refused_at_once(at: Situation) -> Refusal | None:
    """Why the candidate gets no pod at all: the objects alone tell."""
    candidate = at.candidate
    return refused_before_start(candidate, at.parent(candidate), at.goal.order) if candidate else None


def refusal(at: Situation) -> Refusal | None:
    """Why the candidate may not serve, by the objects alone or by its complete report."""
    candidate = at.candidate
    report = at.report(candidate) if candidate else None
    if at.refused_at_once or candidate is None or report is None:
        return at.refused_at_once
    if not report.complete(candidate) and not report.inspected(candidate):
        return None
    return refused(candidate, at.parent(candidate), at.goal.order, report) or peft.refusal(at, candidate)


def preflighted(at: Situation) -> bool:
    """Whether the candidate passed all that can be asked before it has pods of its own."""
    candidate = at.candidate
    report = at.report(candidate) if candidate else None
    if candidate is None or report is None or at.refusal is not None:
        return False
    return (report.complete(candidate) or report.inspected(candidate)) and peft.accepted(at)


def proved(at: Situation) -> bool:
    """Whether the candidate's preflight has answered in full and nothing in it speaks against the candidate."""
    candidate = at.candidate
    report = at.report(candidate) if candidate else None
    return at.preflighted and candidate is not None and report is not None and report.complete(candidate)
