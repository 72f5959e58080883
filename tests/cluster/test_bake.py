"""Real pods whose live traffic breaks a limit after the switch, or is too little to judge, or is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.live import Body
from support.stage import Stage, condition, message, model, open_stage, upgrade, version
from support.traffic import Traffic

WINDOW_SECONDS = 5
BAKE_SECONDS = 45
LIMITS: Body = {"windowSeconds": WINDOW_SECONDS, "consecutiveBreaches": 3, "minSamples": 8}
NOISY: Body = {**LIMITS, "latencyIncreasePercent": 10_000}
"""On a machine full of other tests latencies vary manyfold: only the slow version is judged by them."""
BROKEN = {"slow": "LatencyIncreased", "errors": "ErrorsIncreased", "labels": "DistributionShifted"}
SECONDS = 120


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("bake"), prefix="bake") as made:
        yield made


def watched(name: str, limits: Body, **rollback: Any) -> Body:
    times = {"bakeSeconds": BAKE_SECONDS, "standbySeconds": 600, **rollback}
    metrics = {"source": "Pods"}
    return model(name, verification={"metrics": metrics, "limits": limits}, rollback=times)


def to_v6(name: str, flaw: str = "") -> Body:
    body = upgrade(name, "v6")
    body["spec"]["adapter"]["env"] = [{"name": "FLAW", "value": flaw}]
    return body


class Case:
    """A Model under traffic on its way from v2 to v6."""

    def __init__(self, stage: Stage, name: str, limits: Body = NOISY, *, feedback: bool = False) -> None:
        self.stage, self.name = stage, name
        first = version(name, "v2", adapter={"pullPolicy": "Always"})
        stage.kubectl.apply(watched(name, limits), first)
        self._feedback = feedback

    def run(self) -> Traffic:
        """Wait until v2 serves, and begin to ask it."""
        self.old = self.stage.until_serves(self.name)
        self.stage.probe(self.name)
        address = self.stage.watched.live("Service", self.name)["spec"]["clusterIP"]
        self.traffic = Traffic(self.name, address, feedback=self._feedback)
        return self.traffic

    def status(self, kind: str = "Model") -> Body:
        return dict(self.stage.watched.live(kind, self.name).get("status", {}))

    def enough(self) -> None:
        """Until the pods have answered what a baseline needs."""
        self.stage.until(self.name, lambda _: self.traffic.answers[self.old] >= 40, 60, "40 answers of the old version")

    def checks(self, kind: str = "Model") -> dict[str, Body]:
        return {check["name"]: check for check in self.status(kind).get("checks", [])}


# In make test-full only: five Models under traffic at once, and windows that a machine busy with other tests starves.
@pytest.mark.full
def test_a_broken_limit_goes_back_with_its_reason_and_good_traffic_stays(stage: Stage) -> None:
    limits = {"slow": LIMITS}
    cases = {flaw: Case(stage, f"flaw-{flaw or 'none'}", limits.get(flaw, NOISY)) for flaw in ("", *BROKEN)}
    cases["feedback"] = Case(stage, "flaw-feedback", feedback=True)
    running = [case.run() for case in cases.values()]
    for case in cases.values():
        case.enough()
    for flaw, case in cases.items():
        stage.kubectl.apply(to_v6(case.name, "labels" if flaw == "feedback" else flaw))
    for flaw, reason in {**BROKEN, "feedback": "AccuracyDropped"}.items():
        case = cases[flaw]
        body = stage.until_ready("AdapterUpgrade", case.name, "False", reason, SECONDS)
        assert condition(body, "RolledBack") == ("True", reason)
        assert stage.serving(case.name) == case.old
        case_status = case.status()
        assert case_status["lastRollback"]["reason"] == reason
        assert f"in the last 3 windows of {WINDOW_SECONDS} s" in case_status["lastRollback"]["message"]
        assert [check["verdict"] for check in case.checks().values()].count("Failed") == 1
        # The version's status is written beside the upgrade's, in no order that anybody may rely on.
        wanted = {reason}
        stage.until(case.name, lambda each, want=wanted: set(stage.failures(each).values()) == want, 60, "its failure")
        assert "live/" in message(body)
    good = cases[""]
    body = stage.until_ready("AdapterUpgrade", good.name, "True", "UpgradeSucceeded", SECONDS)
    assert condition(body, "Healthy") == ("True", "Baked")
    assert {check["verdict"] for check in good.checks("AdapterUpgrade").values()} == {"Passed"}
    baseline = good.status()["baseline"]
    assert (baseline["version"], baseline["errorRate"]) == (good.old, "0")
    assert baseline["requests"] >= 8
    assert sum(map(float, baseline["labels"].values())) >= 8
    assert len(stage.selected(good.name)) == 2
    for traffic in running:
        traffic.stop()


def test_too_little_traffic_is_never_called_healthy(stage: Stage) -> None:
    short = {"bakeSeconds": 3, "maxBakeSeconds": 8}
    for name, ends in (("few-finish", "Finish"), ("few-back", "RollBack")):
        stage.kubectl.apply(watched(name, LIMITS, onInconclusive=ends, **short), version(name, "v2"))
    old = {name: stage.until_serves(name) for name in ("few-finish", "few-back")}
    for name in old:
        stage.kubectl.apply(to_v6(name))
    body = stage.until_ready("AdapterUpgrade", "few-finish", "True", "UpgradeSucceeded", SECONDS)
    assert condition(body, "Healthy") == ("Unknown", "Inconclusive")
    took = body["status"]["endTime"], body["status"]["switchTime"]
    assert took[0] > took[1]
    body = stage.until_ready("AdapterUpgrade", "few-back", "False", "Inconclusive", SECONDS)
    assert condition(body, "RolledBack") == ("True", "Inconclusive")
    assert stage.serving("few-back") == old["few-back"]


def test_a_server_without_these_figures_is_told_and_decides_nothing(stage: Stage) -> None:
    name = "no-figures"
    body = watched(name, LIMITS, bakeSeconds=3, maxBakeSeconds=12)
    body["spec"]["verification"]["metrics"]["path"] = "/v2/health/live"
    stage.kubectl.apply(body, version(name, "v2"))
    stage.until_serves(name)
    stage.kubectl.apply(to_v6(name))

    def unread(each: str) -> bool:
        return condition(stage.watched.live("Model", each), "MetricsUnavailable") == ("True", "MetricsUnreadable")

    stage.until(name, unread, 60, "MetricsUnavailable")
    assert "has no metric topgraft_adapter_" in message(stage.watched.live("Model", name), "MetricsUnavailable")
    body = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded", SECONDS)
    assert condition(body, "Healthy") == ("Unknown", "Inconclusive")
