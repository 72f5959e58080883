"""Recreate with real pods: by choice, and on a volume that one pod alone may mount."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.live import ROOT, Body, Kubectl, Operator, wait_until
from support.stage import QUICK, STEADY_SECONDS, Stage, condition, model, open_stage, upgrade, version
from support.watched import Seen

STOPPED = "stopped", "crashes"
# In make test-full only: a stop and a failed start of both strategies take minutes.
pytestmark = pytest.mark.full
CLAIM: Body = {"persistentVolumeClaim": {"claimName": "weights"}}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("recreate")) as made:
        yield made


def test_a_stop_is_told_and_a_failure_starts_the_old_version_again(stage: Stage) -> None:
    for name in STOPPED:
        made = model(name, strategy={**QUICK["strategy"], "type": "Recreate"})
        stage.kubectl.apply(made, version(name, "v1", adapter={"pullPolicy": "Always"}))
    old = {name: stage.until_serves(name) for name in STOPPED}
    began = time.monotonic()
    stage.kubectl.apply(upgrade("stopped", "v2"), upgrade("crashes", "v4"))
    body = stage.until_ready("AdapterUpgrade", "stopped", "True", "UpgradeSucceeded", STEADY_SECONDS)
    assert stage.serving("stopped") == body["status"]["toVersion"]
    stage.kubectl("wait", "adapterupgrade/crashes", "--for=condition=RolledBack", "--timeout=120s", seconds=130)
    stage.until("crashes", lambda each: _available(stage, each) == ("True", "PodsReady"), 60, "the old version answers")
    assert stage.serving("crashes") == old["crashes"]
    for name in STOPPED:
        assert _most_versions_at_once(stage, name) == 1, name
        told = {condition(seen.body, "Available") for seen in _models(stage, name, began)}
        print(f"{name}: nothing answered for {_down(stage, name, began):.1f} s; {sorted(told)}")
    assert ("False", "Recreating") in {condition(seen.body, "Available") for seen in _models(stage, "stopped", began)}


def test_a_volume_for_one_pod_alone_comes_by_recreate(
    kubectl: Kubectl, operator: Operator, claim: Callable[..., Path]
) -> None:
    folder = claim("weights", "ReadWriteOncePod")
    shutil.copy(ROOT / "examples/digits/weights.npz", folder)
    (folder / "weights.npz").chmod(0o644)
    name = "alone"
    kubectl.apply(model(name), version(name, "v1", volume=CLAIM))

    def ready(kind: str, reason: str) -> Callable[[], bool]:
        return lambda: kubectl.condition(kind, name, "Ready").get("reason") == reason

    wait_until(ready("models", "Serving"), STEADY_SECONDS, f"v1 serves\n{operator.tail()}")
    kubectl.apply(upgrade(name, "v2"))
    wait_until(ready("adapterupgrades", "UpgradeSucceeded"), STEADY_SECONDS, f"v2 serves\n{operator.tail()}")
    artifact = kubectl.get("adapterupgrades", name)["status"]["artifact"]
    assert artifact["before"] == artifact["after"]
    pods = kubectl.list("pods", f"topgraft.dev/model={name},topgraft.dev/role=serving")
    assert [pod["spec"]["initContainers"][0]["name"] for pod in pods] == ["digest"]


def _models(stage: Stage, name: str, since: float = 0.0) -> list[Seen]:
    return stage.watched.states("Model", name, since)


def _available(stage: Stage, name: str) -> tuple[str, str]:
    return condition(stage.watched.live("Model", name), "Available")


def _most_versions_at_once(stage: Stage, name: str) -> int:
    """Versions with pods at the same moment, by when each pod was made and was gone."""
    lives = []
    for states in stage.watched.all("Pod", model=name, role="serving"):
        end = states[-1].at if states[-1].gone else float("inf")
        lives.append((states[0].at, end, states[0].body["metadata"]["labels"]["topgraft.dev/version"]))
    return max(len({of for begin, end, of in lives if begin <= start < end}) for start, _, _ in lives)


def _down(stage: Stage, name: str, since: float) -> float:
    """Seconds in which the Model said that nothing answers."""
    total, down = 0.0, 0.0
    for seen in _models(stage, name, since):
        answers = condition(seen.body, "Available")[0] == "True"
        if not answers and not down:
            down = seen.at
        elif answers and down:
            total, down = total + seen.at - down, 0.0
    return total
