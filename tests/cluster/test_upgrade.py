"""What Topgraft is for, with real pods under load: an upgrade loses no request, a dead new version is left at once."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from load import Answers
from support.live import Body
from support.stage import Stage, condition, message, model, open_stage, upgrade, version
from support.underload import LABEL, Death, epoch, load_on, lost_connections, noticed

pytestmark = pytest.mark.alone
LAST_ANSWER_SECONDS = 6.0
"""An adapter server closes a kept-alive connection with its next answer after 5 s; kube-proxy follows within 1 s."""
WEIGHT: Body = {"resources": {"requests": {"cpu": "150m", "memory": "48Mi"}}}
"""Weight for pods under load: one readiness probe that finds no time would be a rollback."""
DURING, AFTER = "during", "after"
"""The new version dies while it bakes, or when that is over."""
DIES: dict[str, Body] = {
    DURING: {"rollback": {"bakeSeconds": 120, "standbySeconds": 600}},
    AFTER: {"rollback": {"bakeSeconds": 3, "standbySeconds": 600}},
}


@dataclass(frozen=True)
class Size:
    answers: int
    of_each: int
    rate: float


SIZES = (
    pytest.param(Size(6_000, 1_000, 300), id="short"),
    pytest.param(Size(20_000, 5_000, 400), id="whole", marks=pytest.mark.full),
)


def first(name: str, tag: str) -> Body:
    """The first version. The tag may have moved since the node pulled it last."""
    return version(name, tag, adapter={"pullPolicy": "Always"})


def dying(name: str, case: str, **serving: str) -> Body:
    return model(name, serving={**WEIGHT, **serving}, **DIES[case])


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("upgrade"), prefix="load") as made:
        yield made


@pytest.mark.parametrize("size", SIZES)
def test_an_upgrade_loses_no_request(stage: Stage, tmp_path: Path, size: Size) -> None:
    name = f"up-{size.answers}"
    times = {"bakeSeconds": 3, "standbySeconds": 3}
    stage.kubectl.apply(model(name, serving={"replicas": 2, **WEIGHT}, rollback=times), first(name, "v1"))
    old = stage.until_serves(name)
    with load_on(stage, name, tmp_path, size.rate) as load:
        load.wait(partial(_answered, old, size.of_each), 60, f"answers of {old}")
        applied = time.time()
        stage.kubectl.apply(upgrade(name, "v2"))
        body = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")
        new = body["status"]["toVersion"]
        stage.until(name, lambda each: not _pods(stage, each, old), 60, f"the last pod of {old} is gone")
        load.wait(partial(_answered, new, size.of_each), 60, f"answers of {new}")
        load.wait(lambda answers: len(answers) >= size.answers, 60, "all answers")
        answers = load.stop()

    versions, artifact = answers.versions(), body["status"]["artifact"]
    switched = datetime.fromisoformat(body["status"]["switchTime"]).timestamp()
    last = answers.of(old)[-1].at - switched
    print(
        f"{len(answers):,} requests: {versions[old]:,} answered by v1, {versions[new]:,} by v2, "
        f"{len(answers.failures)} failed {dict(answers.errors())}; apply -> first answer of v2 "
        f"{answers.of(new)[0].at - applied:.1f} s; last answer of v1 {last:.2f} s after the switch; "
        f"median {answers.percentile(50) * 1000:.0f} ms, p99 {answers.percentile(99) * 1000:.0f} ms; {artifact}"
    )
    assert not answers.failures, (answers.errors(), answers.failures[:5])
    assert set(versions) == {old, new}
    assert last <= LAST_ANSWER_SECONDS
    assert artifact["before"] == artifact["after"]
    assert LABEL not in {answer.value for answer in answers.of(old)}
    assert {answer.value for answer in answers.of(new)} == {LABEL}


@pytest.mark.parametrize(
    "killed",
    [pytest.param(False, id="operator-alive", marks=pytest.mark.full), pytest.param(True, id="operator-killed")],
)
def test_a_version_that_dies_is_left_at_once(stage: Stage, tmp_path: Path, killed: bool) -> None:
    suffix = "killed" if killed else "alive"
    names = {case: f"{case}-{suffix}" for case in DIES}
    stage.kubectl.apply(*(b for case, name in names.items() for b in (dying(name, case), first(name, "v2"))))
    for name in names.values():
        stage.until_serves(name)
    with ExitStack() as stack:
        loads = {name: stack.enter_context(load_on(stage, name, tmp_path, 120)) for name in names.values()}
        for name, load in loads.items():
            load.wait(partial(_answered, f"{name}-1", 200), 60, "answers of v2")
        stage.kubectl.apply(*(upgrade(name, "v3") for name in names.values()))
        bad = {name: stage.until(name, lambda each: _moved(stage, each), 120, "v3 serves") for name in loads}
        for name in loads:
            stage.until(name, lambda each: _armed(stage, each), 30, "the standby is armed")
        stage.until_ready("AdapterUpgrade", names[AFTER], "True", "UpgradeSucceeded")
        if killed:
            stage.operator.kill()
        dead = {name: stage.until(name, lambda each: noticed(stage, each, bad[each]), 60, "v3 is dead") for name in bad}
        for name, load in loads.items():
            load.wait(partial(_came, dead[name], 600), 60, "answers after that")
        if killed:
            assert {name: stage.serving(name) for name in bad} == bad, "nobody was there to write the Service"
            stage.operator.start()
        for name in loads:
            limit = ("wait", f"adapterupgrade/{name}", "--for=condition=RolledBack", "--timeout=60s")
            stage.kubectl(*limit, seconds=70)
            stage.until(name, lambda each: not _pods(stage, each, bad[each]), 60, "the last pod of v3 is gone")
        deaths = {name: Death(load.stop(), f"{name}-1", bad[name], dead[name]) for name, load in loads.items()}

    for name, death in deaths.items():
        print(f"{name}: {death.figures()}")
    for name, death in deaths.items():
        assert lost_connections(death.answers) == [], name
        assert {answer.status for answer in death.answers.failures} <= {503}, name
        wrong = [answer for answer in death.later if answer.version != death.good]
        assert len(death.later) >= 200, name
        assert wrong == [], name
        _tells_the_rollback(stage, name, death)


def _tells_the_rollback(stage: Stage, name: str, death: Death) -> None:
    body = stage.until_ready("AdapterUpgrade", name, "False", "NoReadyPods", 30)
    assert condition(body, "RolledBack") == ("True", "NoReadyPods"), stage.story(name)
    assert condition(body, "Healthy") == ("False", "NoReadyPods")
    assert f"{death.good} serves" in message(body)
    assert stage.serving(name) == death.good
    assert stage.failures(name) == {death.bad: "NoReadyPods"}
    status = stage.watched.live("Model", name)["status"]
    told = {field: status["lastRollback"][field] for field in ("reason", "from", "to")}
    assert told == {"reason": "NoReadyPods", "from": death.bad, "to": death.good}
    assert status["servingVersion"] == death.good
    assert status["history"][0]["outcome"] == "RolledBack"


def test_going_back_by_decision_loses_no_request(stage: Stage, tmp_path: Path) -> None:
    """By a pin and by a reverted tag, five times, with the other version warm."""
    name = "decided"
    stage.kubectl.apply(dying(name, AFTER), first(name, "v1"))
    old = stage.until_serves(name)
    stage.kubectl.apply(upgrade(name, "v2"))
    new = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")["status"]["toVersion"]
    written, followed = [], []
    with load_on(stage, name, tmp_path, 150) as load:
        load.wait(partial(_answered, new, 100), 60, f"answers of {new}")
        for number in range(5):
            pins = number % 2 == 0
            for back in (True, False):
                to = old if back else new
                began, sent = time.monotonic(), len(load.answers)
                _order(stage, name, pins, back)
                stage.until_selects(name, to, 20)
                decided = _decided(stage, name)
                edited = stage.watched.states("Model" if pins else "AdapterUpgrade", name, began)[0]
                written.append(decided - epoch(edited.at))
                load.wait(partial(_taken_over, to, sent), 20, f"only {to} answers")
                followed.append(max(a.at for a in load.answers[sent:] if a.version != to and not a.kept) - decided)
        answers = load.stop()
    print(
        f"10 decisions, {len(answers):,} requests, {len(answers.failures)} failed; order seen -> decided median "
        f"{statistics.median(written) * 1000:.0f} ms, max {max(written) * 1000:.0f} ms; decided -> last answer of the "
        f"other version on a new connection median {statistics.median(followed):.2f} s, max {max(followed):.2f} s"
    )
    assert not answers.failures, (answers.errors(), answers.failures[:5])
    assert stage.selected(name) == [old, new] + [old, new] * 5
    assert stage.failures(name) == {}


def _order(stage: Stage, name: str, pins: bool, back: bool) -> None:
    if pins:
        serving = {"version": f"{name}-1"} if back else {}
        stage.kubectl.apply(dying(name, AFTER, **serving))
    else:
        stage.kubectl.apply(upgrade(name, "v1" if back else "v2"))


def _decided(stage: Stage, name: str) -> float:
    """The time of the decision that the Service carries."""
    decision = json.loads(stage.watched.live("Service", name)["metadata"]["annotations"]["topgraft.dev/decision"])
    return datetime.fromisoformat(decision["time"]).timestamp()


def _answered(by: str, count: int, answers: Answers) -> bool:
    return answers.versions()[by] >= count


def _came(since: float, count: int, answers: Answers) -> bool:
    return len(answers.between(since)) >= count


def _taken_over(to: str, sent: int, answers: Answers) -> bool:
    """Whether only `to` answers new connections; a kept-alive one may stay for its 5 s."""
    newest = [answer.version for answer in answers[sent:] if not answer.kept][-30:]
    return len(newest) == 30 and set(newest) == {to}


def _pods(stage: Stage, name: str, of: str) -> list[str]:
    pods = stage.watched.all("Pod", model=name, version=of, role="serving")
    return [states[-1].body["metadata"]["name"] for states in pods if not states[-1].gone]


def _moved(stage: Stage, name: str) -> str:
    """The version that serves instead of the first; empty while that one does."""
    serving = stage.serving(name) or ""
    return "" if serving == f"{name}-1" else serving


def _armed(stage: Stage, name: str) -> bool:
    pods = _pods(stage, name, f"{name}-1")
    return bool(pods) and all(stage.watched.live("EndpointSlice", f"{pod}-standby") for pod in pods)
