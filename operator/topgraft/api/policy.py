"""How a new version is brought in and taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.wire import Rule, Wire, rules

BakeSeconds = Annotated[int, Field(ge=0, le=604800)]
StandbySeconds = Annotated[int, Field(ge=0, le=31536000)]
StandbyReplicas = Annotated[int, Field(ge=0, le=10000)]


class Strategy(Wire):
    """How a new version is brought in."""

    model_config = rules(
        Rule(
            "self.failFastSeconds <= self.progressDeadlineSeconds",
            "spec.strategy.failFastSeconds must not be greater than spec.strategy.progressDeadlineSeconds",
        )
    )

    type: Literal["BlueGreen"] = "BlueGreen"
    """BlueGreen: the new version stands complete beside the old one before any request reaches it."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=604800)] = 600
    """How long an attempt may wait for the cluster (nodes, quota, volumes, registry)."""
    fail_fast_seconds: Annotated[int, Field(ge=1, le=86400)] = 20
    """After how long a fault of the version itself (missing image, crash) ends the attempt."""


class Rollback(Wire):
    """When and how the previous version comes back."""

    automatic: bool = True
    """Whether Topgraft itself goes back when the new version is not healthy."""
    bake_seconds: BakeSeconds = 60
    """How long the new version is watched after the switch, with the previous one at full size."""
    standby_seconds: StandbySeconds = 600
    """How long the previous version stays warm after that."""
    standby_replicas: StandbyReplicas = 1
    """With how many pods it stays warm."""


class RollbackOverride(Wire):
    """The Model's rollback settings, replaced field by field for this upgrade."""

    automatic: bool | None = None
    """Whether Topgraft itself goes back when the new version is not healthy."""
    bake_seconds: BakeSeconds | None = None
    """How long the new version is watched after the switch, with the previous one at full size."""
    standby_seconds: StandbySeconds | None = None
    """How long the previous version stays warm after that."""
    standby_replicas: StandbyReplicas | None = None
    """With how many pods it stays warm."""
