"""Submissions of versions to modeling objectives: how their checks stand, and who has to submit again.

S0's rules P11, P25 and P27 to P30. A version is immutable, so its submission is of what was seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from fractions import Fraction

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.api.objective import (
    CheckResult,
    CheckState,
    Objective,
    ObjectiveCheck,
    Submission,
    SubmissionRecord,
    SubmissionState,
)
from topgraft.governance.training import trained
from topgraft.limits import exact

RECORDS = 16
"""Submissions that a version's status holds."""
GONE = 48
"""Results of checks that are gone which a submission keeps."""


def submission_to(version: ModelVersion, objective: str) -> Submission | None:
    """The submission that is in force: asked for and not withdrawn."""
    return next((s for s in version.spec.objectives if s.name == objective and not s.archived), None)


def judge(check: ObjectiveCheck, submission: Submission, version: ModelVersion) -> CheckResult:
    """How a check of a submission stands."""
    state, text = _by_figure(check, submission, version) if check.type == "Metric" else _by_people(check, submission)
    return CheckResult(
        name=check.name, state=state, message=text, required=check.required or None, archived=check.archived or None
    )


def _by_people(check: ObjectiveCheck, submission: Submission) -> tuple[CheckState, str]:
    """Any one approval is enough, whoever else rejects; without approvers anybody's word counts."""
    said = [r for r in submission.reviews if r.check == check.name and (not check.approvers or r.by in check.approvers)]
    for decision, state, word in (("Approve", "Passed", "approved"), ("Reject", "Rejected", "rejected")):
        names = sorted(review.by for review in said if review.decision == decision)
        if names:
            return ("Passed" if state == "Passed" else "Rejected"), f"{word} by {', '.join(names)}"
    who = f"one of {', '.join(check.approvers)}" if check.approvers else "a review"
    return "Pending", f"waits for {who}: spec.objectives[{submission.name}].reviews with check: {check.name}"


def _by_figure(check: ObjectiveCheck, submission: Submission, version: ModelVersion) -> tuple[CheckState, str]:
    """Pending while the version itself is not there; then a missing figure is as bad as a wrong one."""
    wanted = check.metric
    if wanted is None:
        return "Rejected", f"check {check.name} names no metric"
    if not trained(version):
        return "Pending", f"the version is not trained yet: it has no {wanted.name}"
    if failure := version.status.failure:
        return "Pending", f"the version failed ({failure.reason}): its {wanted.name} says nothing"
    given = submission.metrics.get(wanted.name, version.spec.metadata.get(wanted.name))
    if given is None:
        place = f"spec.objectives[{submission.name}].metrics and in spec.metadata"
        return "Rejected", f"{wanted.name} is missing in {place}"
    value = _number(given)
    if value is None:
        return "Rejected", f"{wanted.name} is {given[:64]!r}: no number"
    for bound, wrong, word in ((wanted.min, -1, "below"), (wanted.max, 1, "above")):
        if bound is not None and (value - exact(bound)) * wrong > 0:
            return "Rejected", f"{wanted.name} is {given.strip()}, {word} {bound}"
    return "Passed", f"{wanted.name} is {given.strip()}"


def _number(text: str) -> Fraction | None:
    """A decimal number; text long enough to cost time is none."""
    try:
        return exact(float(text)) if len(text) <= 64 else None
    except ValueError:
        return None


def submissions(
    model: Model, version: ModelVersion, released: Collection[str], now: datetime
) -> list[SubmissionRecord]:
    """What a version's status says of its submissions, those withdrawn included: their history stays.

    `released`: the objectives that the version was released of.
    """
    old = {record.name: record for record in version.status.submissions}
    asked = {submission.name: submission for submission in version.spec.objectives}
    objectives = {objective.name: objective for objective in model.spec.objectives}
    made = []
    for name in sorted(asked.keys() | old.keys()):
        known, submission = old.get(name), asked.get(name)
        state, text = _state(name, objectives, submission, name in released)
        results = known.checks if known else ()
        if submission is not None and name in objectives and state != "Archived":
            results = tuple(_results(objectives[name], submission, version, results))
        time = known.time if known else now.replace(microsecond=0)
        made.append(SubmissionRecord(name=name, state=state, time=time, message=text, checks=results))
    withdrawn = sorted((r for r in made if r.name not in asked), key=lambda r: r.time)
    dropped = {record.name for record in withdrawn[: max(0, len(made) - RECORDS)]}
    return [record for record in made if record.name not in dropped]


def _state(
    name: str, objectives: Mapping[str, Objective], submission: Submission | None, was_released: bool
) -> tuple[SubmissionState, str | None]:
    withdrawn = submission is None or submission.archived
    if was_released:
        return "Released", "a submission that was released cannot be archived: it stays" if withdrawn else None
    if withdrawn:
        return "Archived", None
    text = f"the Model has no objective {name!r}: add it to its spec.objectives or mend the name"
    return "Submitted", None if name in objectives else text


def _results(
    objective: Objective, submission: Submission, version: ModelVersion, before: Iterable[CheckResult]
) -> Iterator[CheckResult]:
    """Archived checks keep what they said last, those taken away too; what never was judged is not shown."""
    known = {result.name: result for result in before}
    for check in objective.checks:
        if not check.archived:
            yield judge(check, submission, version)
        elif check.name in known:
            yield known[check.name].model_copy(update={"archived": True, "required": None})
    current = {check.name for check in objective.checks}
    gone = [r.model_copy(update={"archived": True, "required": None}) for r in before if r.name not in current]
    yield from gone[-GONE:]


def submitted(versions: Iterable[ModelVersion]) -> dict[str, list[ModelVersion]]:
    """Objective → the versions that are submitted to it, oldest first."""
    found: dict[str, list[ModelVersion]] = {}
    for version in sorted(versions, key=lambda v: v.metadata.creation_timestamp):
        for submission in version.spec.objectives:
            if not submission.archived:
                found.setdefault(submission.name, []).append(version)
    return found


def to_resubmit(version: ModelVersion, by_objective: Mapping[str, list[ModelVersion]]) -> dict[str, str]:
    """Objective → the version before that was submitted to it, where this one, made of it, is not (P11).

    "Before" is its parent, or an older version made of the same parent: each upgrade starts from the same base again.
    """
    parent = version.spec.parent_version
    if parent is None or not by_objective:
        return {}
    asked = {submission.name for submission in version.spec.objectives}
    missing = {}
    for objective, members in by_objective.items():
        before = [v for v in members if v.metadata.name == parent or _elder(v, version)]
        if before and objective not in asked:
            missing[objective] = before[-1].metadata.name
    return missing


def _elder(one: ModelVersion, version: ModelVersion) -> bool:
    siblings = one.spec.parent_version == version.spec.parent_version and one.metadata.name != version.metadata.name
    return siblings and one.metadata.creation_timestamp < version.metadata.creation_timestamp
