"""How a new version is brought in and taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topgraft.api.wire import ATOMIC, Rule, Wire, rules

BakeSeconds = Annotated[int, Field(ge=0, le=604800)]
StandbySeconds = Annotated[int, Field(ge=0, le=31536000)]
StandbyReplicas = Annotated[int, Field(ge=0, le=10000)]
OnInconclusive = Literal["Finish", "RollBack"]
Watch = Literal["WhileWarm", "Continuous"]


class CanaryStep(Wire):
    """A share of the traffic, held for a while."""

    weight: Annotated[int, Field(ge=1, le=99)]
    """Percent of the requests that go to the new version."""
    pause_seconds: Annotated[int, Field(ge=0, le=604800)] = Field(default_factory=lambda: 60)
    """How long this share is held and watched; by default 60."""


class Canary(Wire):
    """How the share of the new version grows."""

    model_config = rules(
        Rule(
            "self.steps.map(s, s.weight).isSorted() && "
            "self.steps.all(s, self.steps.exists_one(t, t.weight == s.weight))",
            "spec.strategy.canary.steps must have weights that grow from step to step",
        )
    )

    steps: Annotated[tuple[CanaryStep, ...], Field(min_length=1, max_length=20), ATOMIC]
    """After the last one all requests go to the new version, and the bake begins."""


class MaintenanceWindow(Wire):
    """A time in which rollouts may begin."""

    days: Annotated[
        tuple[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], ...], Field(min_length=1, max_length=7), ATOMIC
    ]
    """Days on which it begins."""
    start: Annotated[str, Field(max_length=5, pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """Time of day, such as 22:00."""
    hours: Annotated[int, Field(ge=1, le=24)]
    """How long it lasts."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9_+/-]+$")] = Field(
        default_factory=lambda: "Etc/UTC"
    )
    """Name in the IANA time zone database, such as Europe/Berlin; by default Etc/UTC."""


class Strategy(Wire):
    """How a new version is brought in."""

    model_config = rules(
        Rule(
            "self.failFastSeconds <= self.progressDeadlineSeconds",
            "spec.strategy.failFastSeconds must not be greater than spec.strategy.progressDeadlineSeconds",
        ),
        Rule("(self.type == 'Canary') == has(self.canary)", "spec.strategy.canary and type: Canary need each other"),
    )

    type: Literal["BlueGreen", "Canary", "Rolling", "Recreate"] = "BlueGreen"
    """BlueGreen: the new version stands complete before any request reaches it. Canary: its share grows by steps.
    Rolling: its pods replace the old ones a few at a time. Recreate: the old pods end first."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=604800)] = 600
    """How long an attempt may wait for the cluster (nodes, quota, volumes, registry)."""
    fail_fast_seconds: Annotated[int, Field(ge=1, le=86400)] = 20
    """After how long a fault of the version itself (missing image, crash) ends the attempt."""
    when_unschedulable: Literal["Wait", "Recreate"] = "Wait"
    """What is done when no node has room for a second copy. Recreate: the old pods end first, and nothing answers
    until the new ones are ready."""
    canary: Canary | None = None
    require_approval: bool = False
    """Whether a verified version waits for the annotation topgraft.dev/approved-version on the Model."""
    windows: Annotated[tuple[MaintenanceWindow, ...], Field(max_length=16), ATOMIC] = ()
    """When rollouts may begin; without any: always. Rollbacks are never held back."""


class Rollback(Wire):
    """When and how the previous version comes back."""

    model_config = rules(
        Rule(
            "!has(self.maxBakeSeconds) || self.maxBakeSeconds >= self.bakeSeconds",
            "maxBakeSeconds must not be smaller than bakeSeconds",
        )
    )

    automatic: bool = True
    """Whether Topgraft itself goes back when the new version is not healthy."""
    bake_seconds: BakeSeconds = 60
    """How long the new version is watched after the switch, with the previous one at full size."""
    max_bake_seconds: BakeSeconds | None = None
    """How long at most, where live traffic was too little to judge; by default five times bakeSeconds."""
    on_inconclusive: OnInconclusive = "Finish"
    """What happens then. Finish: the version stays, and is said to be of unknown health."""
    watch: Watch = "WhileWarm"
    """How long limits on live traffic are watched. Continuous: accuracy and distribution also after the standby."""
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
    max_bake_seconds: BakeSeconds | None = None
    """How long at most, where live traffic was too little to judge."""
    on_inconclusive: OnInconclusive | None = None
    """What happens then."""
    watch: Watch | None = None
    """How long limits on live traffic are watched."""
    standby_seconds: StandbySeconds | None = None
    """How long the previous version stays warm after that."""
    standby_replicas: StandbyReplicas | None = None
    """With how many pods it stays warm."""
