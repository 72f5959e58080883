"""Limits on live traffic in the life of a rollout: the way back, the longer bake, what is told, what is not written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from topgraft.rollout import views
from topgraft.rollout.traffic import Figures, QueriedTraffic, Traffic

from .world import MODEL, NAMESPACE, World

GOOD = Figures(100, 0.1, 0.0, 0.9, 100, {"a": 50, "b": 50})
SLOW = replace(GOOD, latency_p95=0.2)
WRONG = replace(GOOD, accuracy=0.5)
FEW = replace(GOOD, requests=3, feedback=3, labels={"a": 3})
METRICS = {"source": "Pods"}


@dataclass
class Flow:
    """Traffic that has been the same for as long as anybody looks."""

    figures: Figures
    error: tuple[str, str] | None = None

    def windows(self, seconds: int, count: int, since: datetime, now: datetime) -> tuple[Figures, ...]:
        return (self.figures,) * min(count, int((now - since).total_seconds()) // seconds)

    def overall(self, since: datetime) -> Figures:
        return self.figures

    def baseline(self, samples: int, seconds: int, now: datetime) -> Figures:
        return self.figures


@dataclass
class Stage:
    """A Model whose v1 serves with good traffic, and an upgrade to v2 whose traffic the test chooses."""

    world: World = field(default_factory=lambda: World(live={}))
    old: str = ""

    def begin(self, verification: dict[str, Any] | None = None, **rollback: Any) -> World:
        world = self.world
        rollback = {"bakeSeconds": 60, "standbySeconds": 600, **rollback}
        world.model(verification={"metrics": METRICS, **(verification or {})}, rollback=rollback)
        world.base()
        world.run()
        self.old = world.serving or ""
        self.flow(self.old, Flow(GOOD))
        world.upgrade("v2")
        world.run()
        assert world.serving_tag == "v2"
        return world

    def flow(self, version: str | None, traffic: Traffic) -> None:
        assert self.world.live is not None
        self.world.live[version or ""] = traffic


@pytest.fixture
def stage() -> Stage:
    return Stage()


def status(world: World) -> dict[str, Any]:
    return dict(world.objects["Model", MODEL]["status"])


def verdicts(world: World) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in status(world).get("checks", [])}


def test_a_broken_limit_goes_back_with_its_reason_and_is_not_tried_again(stage: Stage) -> None:
    world = stage.begin()
    bad = world.serving
    stage.flow(bad, Flow(SLOW))
    world.run(29)
    assert world.serving == bad, "two windows are not three"
    world.run(2)
    assert world.serving == stage.old
    told = status(world)
    assert told["lastRollback"]["reason"] == "LatencyIncreased"
    assert "0.2 s, 0.2 s, 0.2 s in the last 3 windows of 10 s and 0.1 s before" in told["lastRollback"]["message"]
    assert world.conditions("AdapterUpgrade", "digits")["RolledBack"] == ("True", "LatencyIncreased")
    assert verdicts(world)["live/latency-p95"] == "Failed"
    failed = world.objects["ModelVersion", bad or ""]["status"]["failure"]
    assert failed["reason"] == "LatencyIncreased"
    world.run(4000)
    assert world.serving == stage.old


def test_the_baseline_goes_on_record_with_the_switch(stage: Stage) -> None:
    world = stage.begin()
    decision = json.loads(world.objects["Service", MODEL]["metadata"]["annotations"][views.DECISION])
    baseline = status(world)["baseline"]
    assert decision["baseline"]["latencyP95"] == baseline["latencyP95"] == "0.1"
    assert (baseline["version"], baseline["requests"], baseline["labels"]) == (stage.old, 100, {"a": "50", "b": "50"})
    # An operator that begins anew knows no traffic of the old version, and needs none.
    world.live = {}
    stage.flow(world.serving, Flow(SLOW))
    world.run(31)
    assert status(world)["lastRollback"]["reason"] == "LatencyIncreased"


def test_a_switch_waits_for_the_first_figures_and_no_longer() -> None:
    world = World(live={})
    world.model(verification={"metrics": METRICS})
    world.base()
    world.run()
    old = world.serving or ""
    world.upgrade("v2")
    world.run(5)
    assert world.serving == old
    assert world.live is not None
    world.live[old] = Flow(Figures())
    world.run(5)
    assert world.serving_tag == "v2"


def test_good_traffic_ends_the_bake_in_time_and_an_idle_look_writes_nothing(stage: Stage) -> None:
    world = stage.begin()
    stage.flow(world.serving, Flow(GOOD))
    world.run(61)
    assert status(world)["stableVersion"] == world.serving
    assert set(verdicts(world).values()) == {"Passed"}
    assert world.conditions("AdapterUpgrade", "digits")["Healthy"] == ("True", "Baked")
    before = len(world.writes)
    stage.flow(world.serving, Flow(replace(GOOD, latency_p95=0.11)))
    world.run(60)
    stage.flow(world.serving, Flow(FEW))
    world.run(60)
    assert len(world.writes) == before


@pytest.mark.parametrize(
    ("rollback", "longest", "ends"),
    [
        ({}, 300, "Finish"),
        ({"maxBakeSeconds": 120}, 120, "Finish"),
        ({"maxBakeSeconds": 120, "onInconclusive": "RollBack"}, 120, "RollBack"),
        ({"maxBakeSeconds": 120, "onInconclusive": "RollBack", "automatic": False}, 120, "Finish"),
    ],
)
def test_too_few_samples_bake_longer_and_are_never_healthy(
    stage: Stage, rollback: dict[str, Any], longest: int, ends: str
) -> None:
    world = stage.begin(**rollback)
    new = world.serving
    stage.flow(new, Flow(FEW))
    world.run(longest - 2)
    assert status(world)["stableVersion"] == stage.old
    assert set(verdicts(world).values()) == {"Inconclusive"}
    world.run(4)
    if ends == "Finish":
        assert status(world)["stableVersion"] == new
        assert world.conditions("AdapterUpgrade", "digits")["Healthy"] == ("Unknown", "Inconclusive")
        stage.flow(new, Flow(GOOD))
        world.run(30)
        assert world.conditions("AdapterUpgrade", "digits")["Healthy"] == ("Unknown", "Inconclusive")
    else:
        assert world.serving == stage.old
        assert status(world)["lastRollback"]["reason"] == "Inconclusive"
        assert world.conditions("AdapterUpgrade", "digits")["RolledBack"] == ("True", "Inconclusive")
        world.run(2000)
        assert world.serving == stage.old


def test_samples_that_come_later_end_the_longer_bake(stage: Stage) -> None:
    world = stage.begin()
    stage.flow(world.serving, Flow(FEW))
    world.run(100)
    assert status(world)["stableVersion"] == stage.old
    stage.flow(world.serving, Flow(GOOD))
    world.run(5)
    assert status(world)["stableVersion"] == world.serving
    assert world.conditions("AdapterUpgrade", "digits")["Healthy"] == ("True", "Baked")


def test_limits_are_watched_while_the_standby_is_warm(stage: Stage) -> None:
    world = stage.begin()
    new = world.serving
    stage.flow(new, Flow(GOOD))
    world.run(200)
    assert status(world)["stableVersion"] == new
    stage.flow(new, Flow(SLOW))
    world.run(1)
    assert world.serving == stage.old
    assert verdicts(world)["live/latency-p95"] == "Failed"


def test_without_standby_and_without_continuous_nothing_is_watched(stage: Stage) -> None:
    world = stage.begin()
    new = world.serving
    stage.flow(new, Flow(GOOD))
    world.run(1000)
    assert world.look().watch is None
    stage.flow(new, Flow(WRONG))
    world.run(1000)
    assert world.serving == new


def test_continuous_watches_what_endures_and_goes_back_cold(stage: Stage) -> None:
    world = stage.begin(watch="Continuous")
    new = world.serving or ""
    stage.flow(new, Flow(GOOD))
    world.run(1000)
    stage.flow(new, Flow(SLOW))
    world.run(100)
    assert world.serving == new, "latency depends on the load of the day"
    watch = world.look().watch
    assert watch is not None
    assert (watch.versions, [one.all_ for one in watch.comparisons]) == ((new,), [False])
    stage.flow(new, Flow(WRONG))
    world.run(1)
    assert world.objects["ModelVersion", new]["status"]["failure"]["reason"] == "AccuracyDropped"
    world.run(100)
    assert world.serving == stage.old
    # What takes over is not compared with the version that failed.
    stage.flow(stage.old, Flow(GOOD))
    world.run(1000)
    assert world.serving == stage.old
    told = world.conditions("AdapterUpgrade", "digits")
    assert told["Ready"] == ("False", "AccuracyDropped")


def test_with_automatic_off_a_broken_limit_is_told_and_traffic_stays(stage: Stage) -> None:
    world = stage.begin(automatic=False)
    new = world.serving
    stage.flow(new, Flow(SLOW))
    world.run(40)
    assert world.serving == new
    assert world.conditions("Model", MODEL)["Ready"] == ("False", "LatencyIncreased")
    assert verdicts(world)["live/latency-p95"] == "Failed"


def test_metrics_that_cannot_be_read_decide_nothing_and_are_told(stage: Stage) -> None:
    world = stage.begin(maxBakeSeconds=120)
    new = world.serving
    text = "spec.verification.metrics.queries.errorRate failed: parse error"
    stage.flow(new, Flow(SLOW, ("QueryFailed", text)))
    world.run(110)
    assert world.serving == new
    assert status(world)["stableVersion"] == stage.old
    assert world.conditions("Model", MODEL)["MetricsUnavailable"] == ("True", "QueryFailed")
    stage.flow(new, Flow(GOOD))
    world.run(5)
    assert "MetricsUnavailable" not in world.conditions("Model", MODEL)
    assert status(world)["stableVersion"] == new


def test_without_a_source_nothing_is_read_nor_told() -> None:
    world = World(live={})
    world.model()
    world.base()
    world.run()
    world.upgrade("v2")
    world.run()
    assert world.look().watch is None
    assert {"baseline", "checks"}.isdisjoint(status(world))
    world.run(61)
    assert world.conditions("AdapterUpgrade", "digits")["Healthy"] == ("True", "Baked")


def test_a_decision_that_somebody_removed_keeps_its_baseline(stage: Stage) -> None:
    world = stage.begin()
    new = world.serving
    world.remove("Service", MODEL)
    world.run()
    assert world.serving == new
    stage.flow(new, Flow(SLOW))
    world.run(31)
    assert status(world)["lastRollback"]["reason"] == "LatencyIncreased"


def test_the_next_rollout_begins_with_no_live_verdicts(stage: Stage) -> None:
    world = stage.begin()
    stage.flow(world.serving, Flow(GOOD))
    world.run(61)
    assert verdicts(world)
    world.images["v3"] = "registry"
    world.upgrade("v3")
    world.run(1)
    assert not verdicts(world)


def test_real_points_of_prometheus_through_a_whole_rollout(stage: Stage) -> None:
    world = stage.begin()
    new, since = world.serving, world.now
    points = tuple((since + timedelta(seconds=second), SLOW) for second in range(60))

    def look() -> Any:
        seen = tuple(point for point in points if point[0] <= world.now)
        stage.flow(new, QueriedTraffic(seen, 10))
        return world.look()

    for _ in range(40):
        look()
        world.now += timedelta(seconds=1)
    assert world.serving == stage.old
    assert (world.now - since).total_seconds() == 40
    assert world.objects["Model", MODEL]["metadata"]["namespace"] == NAMESPACE
