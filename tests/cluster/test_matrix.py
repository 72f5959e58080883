"""Every strategy × what may happen on the way, on real pods under requests: what serves in the end, what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from load import Answers, Load
from support.live import Body
from support.stage import Stage, model, open_stage, upgrade, version
from support.underload import load_on

# In make test-full only: minutes for each strategy, and requests are counted.
pytestmark = [pytest.mark.alone, pytest.mark.full]

REPLICAS = 2
RATE = 20
SERVING: Body = {"resources": {"requests": {"cpu": "40m", "memory": "48Mi"}}, "replicas": REPLICAS}
STEPS = [{"weight": 30, "pauseSeconds": 4}, {"weight": 60, "pauseSeconds": 4}]
STRATEGIES: dict[str, Body] = {
    "BlueGreen": {"type": "BlueGreen"},
    "Canary": {"type": "Canary", "canary": {"steps": STEPS}},
    "Rolling": {"type": "Rolling"},
    "Recreate": {"type": "Recreate"},
}
LIMITS: Body = {"progressDeadlineSeconds": 300, "failFastSeconds": 10}
SECONDS = 240


@dataclass(frozen=True)
class Case:
    """An order, and how it ends: the reason of the upgrade's Ready, and whether the new version serves then."""

    tag: str
    reasons: tuple[str, ...]
    serves: bool


CASES = {
    "success": Case("v2", ("UpgradeSucceeded",), True),
    "missing": Case("v99", ("ImageNotFound",), False),
    "crash": Case("v4", ("LoadFailed", "CrashLoop"), False),
    "dies": Case("v3", ("ReadinessFailed", "NoReadyPods", "ContainerRestarted"), False),
    "edited": Case("v6", ("UpgradeSucceeded",), True),
    "killed": Case("v2", ("UpgradeSucceeded",), True),
}
TOGETHER = ("success", "missing", "crash", "dies", "edited")
"""The operator's death would be everybody's: that case runs alone."""


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("matrix"), prefix="matrix") as made:
        yield made


def name_of(strategy: str, case: str) -> str:
    return f"{strategy}-{case}".lower()


def first(stage: Stage, strategy: str, case: str) -> None:
    """The Model of a cell, with its first version."""
    name = name_of(strategy, case)
    times = {"bakeSeconds": 25 if case == "dies" else 4, "standbySeconds": 4}
    made = model(name, serving=SERVING, strategy={**LIMITS, **STRATEGIES[strategy]}, rollback=times)
    stage.kubectl.apply(made, version(name, "v1", adapter={"pullPolicy": "Always"}))


def under_way(stage: Stage, name: str) -> bool:
    """Whether pods of the new version exist."""
    to = stage.watched.live("Model", name).get("status", {}).get("rollout", {}).get("to", "")
    return bool(to) and bool(stage.watched.live("Deployment", to))


def ended(stage: Stage, name: str, case: Case) -> bool:
    status, reason = stage.ready("AdapterUpgrade", name)
    return reason in case.reasons and status == ("True" if case.serves else "False")


def judge(stage: Stage, strategy: str, case: str, old: str, answers: Answers) -> list[str]:
    """What is not as it should be in one cell."""
    name, wanted = name_of(strategy, case), CASES[case]
    live = stage.watched.live("AdapterUpgrade", name)
    new, serving = live["status"].get("toVersion"), stage.serving(name)
    wrong = []
    if serving != (new if wanted.serves else old):
        wrong.append(f"{name}: {serving} serves")
    others = {each for each in stage.selected(name) if each not in (old, new, "")}
    if others:
        wrong.append(f"{name}: the Service selected {others}")
    failed = len(answers.failures)
    print(f"{name}: {stage.ready('AdapterUpgrade', name)}, {failed} of {len(answers)} failed {dict(answers.errors())}")
    # A version that dies under its requests loses some before anybody can know; Recreate stops on purpose.
    if failed and strategy != "Recreate" and case != "dies":
        wrong.append(f"{name}: {failed} requests failed")
    return wrong


def finish(stage: Stage, strategy: str, case: str, old: str, load: Load) -> list[str]:
    name = name_of(strategy, case)
    stage.until(name, lambda each: ended(stage, each, CASES[case]), SECONDS, f"{CASES[case].reasons}")
    wanted = stage.serving(name) or ""
    load.wait(partial(_answers_last, wanted), 60, f"answers of {wanted}")
    return judge(stage, strategy, case, old, load.stop())


def _answers_last(of: str, answers: Answers) -> bool:
    return {answer.version for answer in answers[-20:]} == {of}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whatever_happens_the_right_version_serves(stage: Stage, strategy: str, tmp_path: Path) -> None:
    for case in CASES:
        first(stage, strategy, case)
    old = {case: stage.until_serves(name_of(strategy, case)) for case in CASES}
    wrong: list[str] = []
    with ExitStack() as stack:
        loads = {c: stack.enter_context(load_on(stage, name_of(strategy, c), tmp_path, RATE)) for c in CASES}
        orders = {case: "v2" if case == "edited" else CASES[case].tag for case in TOGETHER}
        stage.kubectl.apply(*(upgrade(name_of(strategy, case), tag) for case, tag in orders.items()))
        edited = name_of(strategy, "edited")
        stage.until(edited, lambda each: under_way(stage, each), SECONDS, "the first order is under way")
        stage.kubectl.apply(upgrade(edited, CASES["edited"].tag))
        for case in TOGETHER:
            wrong += finish(stage, strategy, case, old[case], loads[case])
        killed = name_of(strategy, "killed")
        stage.kubectl.apply(upgrade(killed, CASES["killed"].tag))
        for moment, there in {"pods start": under_way, "a decision is made": _decided}.items():
            stage.until(killed, partial(_on, stage, there), SECONDS, moment)
            stage.operator.kill()
            stage.operator.start(60)
        wrong += finish(stage, strategy, "killed", old["killed"], loads["killed"])
    stage.kubectl("delete", "models,modelversions,adapterupgrades", "--all", "--wait=false")
    stage.until(killed, lambda _: not _pods(stage), 90, "no pod is left")
    assert not wrong


def _on(stage: Stage, there: partial[bool], name: str) -> bool:
    return bool(there(stage, name))


def _decided(stage: Stage, name: str) -> bool:
    """Whether the Service carries a decision of the new attempt, or the rollout is over."""
    text = stage.watched.live("Service", name)["metadata"]["annotations"]["topgraft.dev/decision"]
    return '"direction":"First"' not in text


def _pods(stage: Stage) -> list[str]:
    pods = stage.watched.all("Pod", role="serving")
    return [states[-1].body["metadata"]["name"] for states in pods if not states[-1].gone]
