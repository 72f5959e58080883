"""The sandbox: one version of a Model, run aside from everything else for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from topgraft.api.scalars import DnsLabel
from topgraft.api.verification import Check, TestSuite
from topgraft.api.wire import Wire


class Sandbox(Wire):
    """A version that runs aside: it gets no traffic, and other pods do not reach it."""

    version: DnsLabel
    """The ModelVersion, of any age and channel; another one starts anew."""
    ttl_seconds: Annotated[int, Field(ge=60, le=604800)] = 3600
    """How long it runs, from its start; more of it while it runs, or later, goes on."""
    test_suite: TestSuite | None = None
    """The tests that are run in it once; by default those of spec.verification."""


class SandboxStatus(Wire):
    """The sandbox as it is, or as it ended."""

    version: Annotated[str, Field(max_length=63)]
    content: Annotated[str | None, Field(max_length=128)] = None
    """What runs under the version's name; the verdict is on that alone."""
    start_time: datetime | None = None
    expire_time: datetime | None = None
    """When its pods go."""
    pod: Annotated[str | None, Field(max_length=253)] = None
    """Where the version runs; kubectl port-forward reaches it."""
    tests: Check | None = None
    """The verdict of its tests."""
