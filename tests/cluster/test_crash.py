"""An operator that dies in the middle of its work comes to the same end as one that lives."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.gate import Gate
from support.live import Body, wait_until
from support.stage import STEADY_SECONDS, Stage, model, open_stage, upgrade, version
from support.underload import PORT, request_body
from support.watched import PATHS

NAME = "digits"
QUIET_SECONDS = 4.0
"""An operator that writes nothing for this long has nothing left to do."""
MOST_WRITES = 24
LONG_SECONDS = 400
"""A limit for an operator that is started again after each third write, on a machine that has other work too."""
VOLATILE = {
    *("uid", "resourceVersion", "creationTime", "creationTimestamp", "generation", "observedGeneration", "namespace"),
    *("time", "startTime", "endTime", "switchTime", "finishedTime", "decidedTime", "verifiedTime"),
    *("lastTransitionTime", "durationMilliseconds", "message", "managedFields", "ownerReferences"),
    *("clusterIP", "clusterIPs"),
    # A hash over the whole body, the owner's uid and the namespace included.
    "topgraft.dev/applied",
    # Over inodes and times of the volume's files, of which each run has its own.
    "statDigest",
}


def settled(value: Any) -> Any:
    """What two runs must agree on: everything but times, identities and texts that name pods."""
    if isinstance(value, dict):
        return {key: settled(each) for key, each in sorted(value.items()) if key not in VOLATILE}
    if isinstance(value, list):
        return [settled(each) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        return settled(json.loads(value))
    return value


def outcome(stage: Stage) -> dict[str, Any]:
    """Specs, labels, annotations and conditions of all that the operator made; pods and slices by version."""
    found: dict[str, Any] = {}
    for kind in PATHS:
        states = [each[-1] for each in stage.watched.all(kind) if not each[-1].gone]
        bodies = [each.body for each in states if each.body["metadata"].get("labels", {}).get("topgraft.dev/model")]
        if kind in ("Model", "ModelVersion", "AdapterUpgrade"):
            bodies = [each.body for each in states]
        if kind in ("Pod", "EndpointSlice"):
            ours = [b["metadata"] for b in bodies if "deletionTimestamp" not in b["metadata"] and _ours(kind, b)]
            found[kind] = sorted(meta["labels"]["topgraft.dev/version"] for meta in ours)
            continue
        for body in bodies:
            dropped = {"status"} if kind in ("Deployment", "Service") else set()
            kept = {key: each for key, each in body.items() if key not in dropped}
            found[f"{kind}/{body['metadata']['name']}"] = settled(kept)
    return found


def _ours(kind: str, body: Body) -> bool:
    return kind == "Pod" or body["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "topgraft.dev"


@dataclass
class Run:
    """v1 → v2, which stays; then → v3, which dies and is left; with an operator that may be killed in between."""

    stage: Stage
    gate: Gate
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    writes: list[list[str]] = field(default_factory=list)
    deaths: int = 0

    def play(self, kill: Callable[[int], bool]) -> Run:
        """`kill(n)`: whether the operator dies right after the n-th write of the upgrade, and of the rollback."""
        stage = self.stage
        stage.kubectl.apply(self._model(2), version(NAME, "v1", adapter={"pullPolicy": "Always"}))
        stage.until_serves(NAME)
        self._until_quiet()
        with self._killed(kill):
            stage.kubectl.apply(upgrade(NAME, "v2"))
            stage.until_ready("AdapterUpgrade", NAME, "True", "UpgradeSucceeded", LONG_SECONDS)
            stage.until_serves(NAME)
            self._until_quiet()
        stage.kubectl.apply(self._model(300))
        self._until_quiet()
        good = stage.serving(NAME)
        with self._killed(kill), self._asked():
            stage.kubectl.apply(upgrade(NAME, "v3"))
            stage.until(NAME, lambda each: stage.serving(each) != good, LONG_SECONDS, "v3 serves")
            stage.until_ready("AdapterUpgrade", NAME, "False", "NoReadyPods", LONG_SECONDS)
            stage.until(NAME, lambda each: stage.serving(each) == good, STEADY_SECONDS, "v2 serves")
            self._until_quiet()
        return self

    def _model(self, bake: int) -> Body:
        return model(NAME, rollback={"bakeSeconds": bake, "standbySeconds": 900})

    @contextmanager
    def _killed(self, kill: Callable[[int], bool]) -> Iterator[None]:
        """A kubelet that starts the operator again whenever it died; notes what came of it."""
        begin, over = len(self.gate.written), threading.Event()
        self.gate.kill = lambda number: kill(number - begin)

        def restart() -> None:
            while not over.is_set():
                if self.gate.killed.wait(0.1):
                    self.stage.operator.wait(10)
                    self.deaths += 1
                    self.gate.killed.clear()
                    self.stage.operator.start(0)

        kubelet = threading.Thread(target=restart, daemon=True)
        kubelet.start()
        try:
            yield
        finally:
            over.set()
            kubelet.join(20)
            self.gate.kill = lambda number: False
        self.outcomes.append(outcome(self.stage))
        self.writes.append(self.gate.written[begin:])

    def _until_quiet(self) -> None:
        """The operator runs, is ready, and has had nothing to write for a while."""
        for _ in range(60):
            before = len(self.gate.written)
            wait_until(
                self.stage.operator.ready, STEADY_SECONDS, f"the operator is ready\n{self.stage.operator.tail()}"
            )
            threading.Event().wait(QUIET_SECONDS)
            if len(self.gate.written) == before and self.stage.operator.ready():
                return
        raise AssertionError(f"the operator never rests: {self.gate.written[-10:]}")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Somebody uses the Model: v3 dies 10 s after its first answer."""
        over, body = threading.Event(), request_body()
        address = self.stage.watched.live("Service", NAME)["spec"]["clusterIP"]

        def ask() -> None:
            while not over.wait(0.25):
                connection = http.client.HTTPConnection(address, PORT, timeout=5)
                try:
                    connection.request("POST", f"/v2/models/{NAME}/infer", body, {"Connection": "close"})
                    connection.getresponse().read()
                except OSError:
                    pass
                finally:
                    connection.close()

        client = threading.Thread(target=ask, daemon=True)
        client.start()
        try:
            yield
        finally:
            over.set()
            client.join(10)


def played(folder: Path, kill: Callable[[int], bool]) -> Run:
    with Gate().running() as gate, open_stage(folder, prefix="load", make=gate.operator) as stage:
        return Run(stage, gate).play(kill)


def assert_same(run: Run, reference: Run) -> None:
    for found, expected in zip(run.outcomes, reference.outcomes, strict=True):
        assert found.keys() == expected.keys()
        for name, body in expected.items():
            assert found[name] == body, name


@pytest.fixture(scope="module")
def folders(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return tmp_path_factory.mktemp


@pytest.fixture(scope="module")
def runs(folders: Callable[[str], Path]) -> tuple[Run, Run]:
    """One without a death, one with a death after every third write, side by side."""
    with ThreadPoolExecutor(2) as pool:
        calm = pool.submit(played, folders("calm"), lambda number: False)
        deadly = pool.submit(played, folders("deadly"), lambda number: number % 3 == 1)
        return calm.result(), deadly.result()


def _tell(case: str, run: Run) -> None:
    print(f"{case}: {run.deaths} deaths, writes {[len(writes) for writes in run.writes]}")


def test_killed_after_every_third_write_the_end_is_the_same(runs: tuple[Run, Run]) -> None:
    calm, deadly = runs
    _tell("not killed", calm)
    _tell("killed after each third write", deadly)
    assert calm.deaths == 0
    assert deadly.deaths >= 6
    assert calm.outcomes[0]["AdapterUpgrade/digits"]["status"]["artifact"]["after"]
    assert_same(deadly, calm)


@pytest.mark.full
def test_killed_after_every_single_write_the_end_is_the_same(
    runs: tuple[Run, Run], folders: Callable[[str], Path]
) -> None:
    run = played(folders("every"), lambda number: True)
    _tell("killed after every single write", run)
    assert run.deaths == sum(len(writes) for writes in run.writes)
    assert_same(run, runs[0])


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_killed_once_after_each_write_the_end_is_the_same(
    runs: tuple[Run, Run], folders: Callable[[str], Path]
) -> None:
    calm = runs[0]
    last = min(MOST_WRITES, max(len(writes) for writes in calm.writes))

    def once(after: int) -> Run:
        return played(folders(f"once-{after}"), lambda number: number == after)

    with ThreadPoolExecutor(3) as pool:
        for after, run in enumerate(pool.map(once, range(1, last + 1)), start=1):
            _tell(f"killed after write {after}", run)
            assert_same(run, calm)
