"""Modeling objectives: what versions are submitted to, the checks on a submission, and the releases made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.scalars import MAX_MESSAGE, Count, DnsLabel, Line, StringMap, Word
from topgraft.api.wire import ATOMIC, BY_NAME, SET, ListOf, Rule, Wire, rules

Environment = Literal["Staging", "Production"]
CheckState = Literal["Passed", "Rejected", "Pending"]
SubmissionState = Literal["Submitted", "Released", "Archived"]

ReleaseNumber = Annotated[int, Field(ge=1, le=2147483647)]
CheckText = Annotated[str, Field(max_length=MAX_MESSAGE)]
Bound = Annotated[
    str,
    Field(min_length=1, max_length=32),
    Rule(r"self.matches(r'^-?[0-9]+(\.[0-9]+)?$')", 'must be a decimal number, as a string, such as "0.95"'),
]


class MetricRequirement(Wire):
    """What a figure of the version must be; the bounds themselves are good enough."""

    model_config = rules(
        Rule("has(self.min) || has(self.max)", "must have min or max"),
        Rule(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)", "must have a min of at most max"
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the submission's metrics, or else in the version's metadata."""
    min: Bound | None = None
    """The least that passes."""
    max: Bound | None = None
    """The most that passes."""


class ObjectiveCheck(Wire):
    """A check that submissions to the objective are held against."""

    model_config = rules(
        Rule("(self.type == 'Metric') == has(self.metric)", "metric and type: Metric need each other"),
        Rule("self.type == 'Manual' || !has(self.approvers)", "approvers need type: Manual"),
    )

    name: DnsLabel
    type: Literal["Manual", "Metric"]
    """Manual: people approve or reject. Metric: a figure decides."""
    description: Line | None = None
    """What is to be looked at. Informational."""
    required: bool = Field(default_factory=lambda: False)
    """Whether a release waits until the check has passed; by default it does not."""
    metric: MetricRequirement | None = None
    """The figure, for type: Metric."""
    approvers: Annotated[tuple[Word, ...], Field(max_length=16), SET] = ()
    """People or groups whose reviews count; without any: everybody's."""
    archived: bool = Field(default_factory=lambda: False)
    """Whether the check is no longer asked for; what it said of earlier submissions stays on record."""


class Release(Wire):
    """A submitted version, given a number and an environment. The highest number of an environment is its release."""

    model_config = rules(
        Rule(
            "self.version == oldSelf.version",
            "version must stay what it was when the number was given: make a release with a new number",
            ".version",
        )
    )

    number: ReleaseNumber
    version: DnsLabel
    """The ModelVersion. Immutable for this number."""
    environment: Environment = Field(default_factory=lambda: "Staging")
    """By default Staging. Production selects the base that the Model serves."""
    note: Line | None = None
    """What is new. Informational."""
    tags: Annotated[tuple[Word, ...], Field(max_length=16), SET] = ()
    """Informational."""


class Objective(Wire):
    """A goal that versions are submitted to, such as "read digits well enough"."""

    name: DnsLabel
    description: Line | None = None
    """One line about the goal. Informational."""
    checks: Annotated[tuple[ObjectiveCheck, ...], Field(max_length=16), BY_NAME] = ()
    """What submissions are held against."""
    releases: Annotated[tuple[Release, ...], Field(max_length=64), ListOf("map", ("number",))] = ()
    """Which submissions are released; older entries may be taken away, status.objectives keeps them."""


Objectives = Annotated[
    tuple[Objective, ...],
    Field(max_length=8),
    BY_NAME,
    Rule(
        "self.filter(o, has(o.releases) && o.releases.exists(r, has(r.environment) && r.environment == 'Production'))"
        ".size() <= 1",
        "at most one objective may have releases to Production: they select what the Model serves",
    ),
]


class Review(Wire):
    """What a person says of a submission."""

    check: DnsLabel
    """The manual check that is meant."""
    by: Word
    """Who says it."""
    decision: Literal["Approve", "Reject", "Comment"]
    """One approval is enough."""
    comment: Line | None = None
    """Why. Informational."""


class Submission(Wire):
    """The submission of a version to an objective of its Model."""

    name: DnsLabel
    """The objective, of spec.objectives of the Model."""
    metrics: StringMap = {}
    """Figures of its evaluation, such as accuracy: "0.97"; a figure that is missing here is looked up in metadata."""
    reviews: Annotated[tuple[Review, ...], Field(max_length=64), ListOf("map", ("check", "by"))] = ()
    """What people say to the manual checks."""
    archived: bool = Field(default_factory=lambda: False)
    """Whether the submission is withdrawn. One that was released stays."""


Submissions = Annotated[tuple[Submission, ...], Field(max_length=8), BY_NAME]


class CheckResult(Wire):
    """A check of a submission."""

    name: DnsLabel
    state: CheckState
    message: CheckText | None = None
    required: bool | None = None
    archived: bool | None = None
    """Whether the check is archived: this is what it said before."""


class SubmissionRecord(Wire):
    """A submission as Topgraft sees it."""

    name: DnsLabel
    """The objective."""
    state: SubmissionState
    time: datetime
    """When it was seen first."""
    message: CheckText | None = None
    checks: Annotated[tuple[CheckResult, ...], Field(max_length=64), ATOMIC] = ()


SubmissionRecords = Annotated[tuple[SubmissionRecord, ...], Field(max_length=16), ATOMIC]


class ReleaseRecord(Wire):
    """A release that took effect in an environment."""

    number: ReleaseNumber
    version: DnsLabel
    environment: Environment
    time: datetime
    """Since when."""
    end_time: datetime | None = None
    """Until when; absent: still."""
    note: Line | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=16), ATOMIC] = ()


class ObjectiveRecord(Wire):
    """What is released of an objective, and was."""

    name: DnsLabel
    production: Count | None = None
    """Number of the release in Production."""
    staging: Count | None = None
    """Number of the release in Staging: the newest of all, since each is tried there first."""
    history: Annotated[tuple[ReleaseRecord, ...], Field(max_length=64), ATOMIC] = ()
    """Releases, the newest first."""


ObjectiveRecords = Annotated[tuple[ObjectiveRecord, ...], Field(max_length=16), ATOMIC]
