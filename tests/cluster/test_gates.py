"""Approval, a window, defect reports and quick verification, with real pods."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.live import ROOT, Kubectl, Operator, wait_until
from support.stage import QUICK, STEADY_SECONDS, Stage, condition, message, model, open_stage, upgrade, version
from topgraft.checks.stats import RACY_NANOSECONDS
from topgraft.rollout.defect import report_defect
from topgraft.rollout.views import APPROVED_VERSION

BAKE: dict[str, Any] = dict(QUICK["rollback"])
MODELS: dict[str, dict[str, Any]] = {
    "warm": {"rollback": {**BAKE, "automatic": False}},
    "cold": {"rollback": {**BAKE, "standbySeconds": 0}},
    "approval": {"strategy": {**QUICK["strategy"], "requireApproval": True}},
    "window": {},
}
FOUND_SECONDS = 10


def a_day_from_now(hours: int) -> dict[str, Any]:
    """A window of so many hours that begins tomorrow, at this hour."""
    begin = datetime.now(UTC) + timedelta(days=1)
    return {"days": [f"{begin:%a}"], "start": f"{begin:%H}:00", "hours": hours}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All Models serve v1, and their upgrades to v2 are as far as they get."""
    with open_stage(tmp_path_factory.mktemp("gates")) as made:
        MODELS["window"] = {"strategy": {**QUICK["strategy"], "windows": [a_day_from_now(1)]}}
        for name, spec in MODELS.items():
            made.kubectl.apply(model(name, **spec), version(name, "v1"))
        for name in MODELS:
            made.until_serves(name)
        made.kubectl.apply(*(upgrade(name, "v2") for name in MODELS))
        yield made


def annotate(stage: Stage, name: str, text: str) -> None:
    stage.kubectl("annotate", "models.topgraft.dev", name, "--overwrite", text)


def test_a_window_holds_an_upgrade_until_an_edit_opens_it(stage: Stage) -> None:
    body = stage.until_ready("AdapterUpgrade", "window", "Unknown", "OutsideWindow")
    assert condition(body, "Suspended") == ("True", "OutsideWindow")
    assert "The next one opens at" in message(body)
    assert stage.ready("Model", "window") == ("True", "Serving")
    names = {states[-1].body["metadata"]["name"] for states in stage.watched.all("Pod", model="window")}
    assert all(pod.startswith("window-1-") for pod in names), "no pod is made before"
    whole_day = [{"days": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], "start": "00:00", "hours": 24}]
    stage.kubectl.apply(model("window", strategy={**QUICK["strategy"], "windows": whole_day}))
    stage.until_ready("AdapterUpgrade", "window", "True", "UpgradeSucceeded")


def test_a_complete_candidate_waits_for_the_annotation(stage: Stage) -> None:
    body = stage.until_ready("AdapterUpgrade", "approval", "Unknown", "AwaitingApproval")
    name = body["status"]["toVersion"]
    assert f"--namespace {stage.namespace} --overwrite {APPROVED_VERSION}={name}" in message(body)
    assert stage.serving("approval") == "approval-1"
    annotate(stage, "approval", f"{APPROVED_VERSION}={name}")
    stage.until_selects("approval", name, FOUND_SECONDS)
    stage.until_ready("AdapterUpgrade", "approval", "True", "UpgradeSucceeded")


@pytest.mark.parametrize("name", ["warm", "cold"])
def test_a_p0_defect_goes_back(stage: Stage, name: str) -> None:
    """Warm: one write, although `automatic` is false. Cold: the old version is started again."""
    bad = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")["status"]["toVersion"]
    if name == "cold":
        gone = lambda _: not stage.watched.live("Deployment", "cold-1")  # noqa: E731
        stage.until(name, gone, STEADY_SECONDS, "the standby is gone")
    patch = report_defect("BUG-1234", "P0", bad)["metadata"]["annotations"]
    since = time.monotonic()
    annotate(stage, name, next(f"{key}={value}" for key, value in patch.items()))
    stage.until_selects(name, f"{name}-1", FOUND_SECONDS if name == "warm" else STEADY_SECONDS)
    print(f"{name}: back {time.monotonic() - since:.2f} s after the report")

    def told(each: str) -> bool:
        return condition(stage.watched.live("AdapterUpgrade", each), "RolledBack") == ("True", "DefectReported")

    def reported(each: str) -> dict[str, Any]:
        status: dict[str, Any] = stage.watched.live("Model", each)["status"]
        return status if status.keys() >= {"defects", "lastRollback"} else {}

    stage.until(name, told, STEADY_SECONDS, "the upgrade tells it")
    assert "BUG-1234" in message(stage.until_ready("AdapterUpgrade", name, "False", "DefectReported"))
    stage.until(name, lambda each: stage.failures(each) == {bad: "DefectReported"}, STEADY_SECONDS, "it is marked")
    status = stage.until(name, reported, STEADY_SECONDS, "the Model tells it")
    assert [(one["id"], one["severity"], one["version"]) for one in status["defects"]] == [("BUG-1234", "P0", bad)]
    assert status["lastRollback"]["reason"] == "DefectReported"


def test_untouched_files_are_read_after_the_switch(
    kubectl: Kubectl, operator: Operator, claim: Callable[..., Path]
) -> None:
    folder = claim("weights")
    shutil.copy(ROOT / "examples/digits/weights.npz", folder)
    (folder / "weights.npz").chmod(0o644)
    time.sleep(RACY_NANOSECONDS / 1e9 + 0.1)
    body = version("quick", "v1", volume={"persistentVolumeClaim": {"claimName": "weights"}})
    body["spec"]["artifact"]["verify"] = "Quick"
    kubectl.apply(model("quick"), body)

    def ready(kind: str) -> bool:
        return condition(kubectl.get(kind, "quick")) in (("True", "Serving"), ("True", "UpgradeSucceeded"))

    wait_until(lambda: ready("model"), STEADY_SECONDS, "v1 serves")

    def artifact(name: str) -> Any:
        return kubectl.get("modelversion", name).get("status", {}).get("artifact")

    first = wait_until(lambda: artifact("quick-1"), STEADY_SECONDS, "the version tells it")
    assert first["statDigest"]
    kubectl.apply(upgrade("quick", "v2"))

    def quickly() -> str:
        names = [v["metadata"]["name"] for v in kubectl.list("modelversion") if v["metadata"]["name"] != "quick-1"]
        told = [kubectl.condition("modelversion", name, "ArtifactVerified").get("reason") for name in names]
        return names[0] if told in (["QuickDigest"], ["DigestComputed"]) else ""

    name = wait_until(quickly, STEADY_SECONDS, "v2 serves")
    said = kubectl("logs", f"{name}-preflight", "--container=digest")
    assert '"quick": true' in said
    wait_until(lambda: ready("adapterupgrade"), STEADY_SECONDS, "the upgrade has ended")
    told = {"reason": "DigestComputed"}.items()
    found = lambda: kubectl.condition("modelversion", name, "ArtifactVerified").items()  # noqa: E731
    wait_until(lambda: told <= found(), STEADY_SECONDS, "all bytes were read")
    second = artifact(name)
    assert (second["digest"], second["statDigest"]) == (first["digest"], first["statDigest"])
    assert second["verifiedTime"] > first["verifiedTime"]
