"""Every other way than two complete copies, with real pods: shares that grow lose no request, a stop is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from load import Answers
from support.live import Body
from support.stage import QUICK, Stage, model, open_stage, upgrade, version
from support.underload import load_on
from support.watched import Seen

# In make test-full only: minutes of requests under load, of which two strategies make the serial part too long.
pytestmark = [pytest.mark.alone, pytest.mark.full]

REPLICAS = 3
WEIGHT: Body = {"resources": {"requests": {"cpu": "60m", "memory": "48Mi"}}, "replicas": REPLICAS}
STEPS = [{"weight": 25, "pauseSeconds": 5}, {"weight": 60, "pauseSeconds": 5}]
SHARED: dict[str, Body] = {"canary": {"type": "Canary", "canary": {"steps": STEPS}}, "rolling": {"type": "Rolling"}}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("strategies"), prefix="load") as made:
        yield made


def strategy(**fields: object) -> Body:
    return {**QUICK["strategy"], **fields}


def test_a_growing_share_loses_no_request(stage: Stage, tmp_path: Path) -> None:
    for name, given in SHARED.items():
        made = model(name, serving=WEIGHT, strategy=strategy(**given), rollback={"bakeSeconds": 3, "standbySeconds": 3})
        stage.kubectl.apply(made, version(name, "v1", adapter={"pullPolicy": "Always"}))
    old = {name: stage.until_serves(name) for name in SHARED}
    with ExitStack() as stack:
        loads = {name: stack.enter_context(load_on(stage, name, tmp_path, 100)) for name in SHARED}
        for name, load in loads.items():
            load.wait(partial(_answered, old[name], 200), 60, f"answers of {old[name]}")
        stage.kubectl.apply(*(upgrade(name, "v2") for name in SHARED))
        bodies = {name: stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded", 240) for name in SHARED}
        new = {name: body["status"]["toVersion"] for name, body in bodies.items()}
        for name, load in loads.items():
            stage.until(name, lambda each: not _pods(stage, each, old[each]), 60, "the last old pod is gone")
            load.wait(partial(_answered, new[name], 500), 60, f"answers of {new[name]}")
        answers = {name: load.stop() for name, load in loads.items()}
    for name, all_of_it in answers.items():
        shared = _shared(all_of_it, old[name], new[name])
        print(
            f"{name}: {len(all_of_it):,} requests, {len(all_of_it.failures)} failed {dict(all_of_it.errors())}; "
            f"both versions answered for {shared:.1f} s; Service selected {stage.selected(name)}"
        )
    for name, all_of_it in answers.items():
        assert not all_of_it.failures, (name, all_of_it.errors())
        assert stage.selected(name) == [old[name], "", new[name]]
    weights = {seen.body.get("status", {}).get("rollout", {}).get("weight") for seen in _models(stage, "canary")}
    assert {25, 60} <= weights


def _answered(by: str, count: int, answers: Answers) -> bool:
    return answers.versions()[by] >= count


def _shared(answers: Answers, old: str, new: str) -> float:
    return answers.of(old)[-1].at - answers.of(new)[0].at


def _models(stage: Stage, name: str, since: float = 0.0) -> list[Seen]:
    return stage.watched.states("Model", name, since)


def _pods(stage: Stage, name: str, of: str) -> list[str]:
    pods = stage.watched.all("Pod", model=name, version=of, role="serving")
    return [states[-1].body["metadata"]["name"] for states in pods if not states[-1].gone]
