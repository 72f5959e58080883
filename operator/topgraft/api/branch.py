"""Branches: versions that run beside what serves, each behind a Service of its own and without production traffic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.objective import CheckText
from topgraft.api.scalars import Count, DnsLabel
from topgraft.api.wire import ATOMIC, BY_NAME, Rule, Wire, rules

State = Literal["ACTIVE", "STARTING", "DEGRADED", "DISABLED", "FAILED"]

BranchName = Annotated[
    DnsLabel,
    Rule("!(self in ['candidate', 'sandbox'])", "must not be candidate or sandbox: Topgraft itself uses them"),
]


class Branch(Wire):
    """A version that is tried under the name <model>-<branch>."""

    model_config = rules(
        Rule("has(self.version) != has(self.objective)", "must have exactly one of version and objective")
    )

    name: BranchName
    version: DnsLabel | None = None
    """The ModelVersion that runs, of whatever channel."""
    objective: DnsLabel | None = None
    """The objective whose newest release to Staging runs."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(default_factory=lambda: 1)
    """How many pods; by default 1."""


Branches = Annotated[tuple[Branch, ...], Field(max_length=8), BY_NAME]

BRANCH_NAMES_FIT = Rule(
    "!has(self.spec.branches) || self.spec.branches.all(b, size(self.metadata.name) + size(b.name) <= 62)",
    "spec.branches[].name and metadata.name must have at most 62 characters together: a Service is named by both",
    ".spec.branches",
)


class BranchStatus(Wire):
    """A branch as it runs."""

    name: DnsLabel
    service: Annotated[str, Field(max_length=63)]
    """The Service that answers with this version."""
    version: Annotated[str | None, Field(max_length=253)] = None
    """The version that is wanted, or the one that stays while that does not exist."""
    state: State
    """State of its pods."""
    replicas: Count
    """How many pods are wanted."""
    ready_replicas: Count
    """How many pods of this version are ready."""
    reason: Annotated[str | None, Field(max_length=128)] = None
    message: CheckText | None = None
    """Why it is not ready."""


BranchStatuses = Annotated[tuple[BranchStatus, ...], Field(max_length=8), ATOMIC]
