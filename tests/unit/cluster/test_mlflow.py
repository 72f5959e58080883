"""The worker that keeps the mirror: one at a time, the newest wish counts, and no failure ends anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from topgraft.cluster import mlflow as module
from topgraft.cluster.mlflow import MlflowError, MlflowMirror, unavailable
from topgraft.cluster.queue import Key
from topgraft.governance.mlflow import Record, Registration

A, B = ("team", "a"), ("team", "b")


def wish(key: Key, *versions: str, serving: str | None = None) -> Registration:
    records = tuple(Record(name, "c", "s", "", ()) for name in versions)
    return Registration("/".join(key), "/".join(key), "", records, serving, None)


class Stage:
    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.mirror = MlflowMirror(self.woken.append, configured=True)
        self.mirror.sync = self.sync
        self.synced: list[Registration] = []
        self.fault: Callable[[], object] = lambda: None
        self.hold = threading.Event()
        self.hold.set()

    def sync(self, wanted: Registration) -> dict[str, str]:
        self.hold.wait(5)
        self.synced.append(wanted)
        self.fault()
        return {record.name: str(n) for n, record in enumerate(wanted.records, 1)}

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what it waits for is in another thread
                await asyncio.sleep(0.005)

    def error(self, key: Key) -> str:
        outcome = self.mirror.mirrored(key).outcome
        return outcome.error[0] if outcome and outcome.error else ""


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)
    made = Stage()
    running = asyncio.create_task(made.mirror.run())
    yield made
    made.hold.set()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_an_outcome_wakes_the_model_and_is_forgotten_once_it_is_told(stage: Stage) -> None:
    stage.mirror.register(A, wish(A, "v1", serving="v1"))
    await stage.until(lambda: stage.woken == [A])
    outcome = stage.mirror.mirrored(A).outcome
    assert outcome is not None
    assert (outcome.digest, outcome.versions) == (wish(A, "v1", serving="v1").digest, {"v1": "1"})
    stage.mirror.register(A, wish(A, "v1", serving="v1"))
    await asyncio.sleep(0.05)
    assert len(stage.synced) == 1, "the status is not written yet: nothing is asked again"
    stage.mirror.register(A, None)
    assert stage.mirror.mirrored(A).outcome is None


async def test_the_newest_wish_counts(stage: Stage) -> None:
    stage.hold.clear()
    stage.mirror.register(A, wish(A, "v1"))
    await asyncio.sleep(0.02)
    for name in ("v2", "v3", "v4"):
        stage.mirror.register(A, wish(A, "v1", name))
    stage.hold.set()
    await stage.until(lambda: len(stage.synced) == 2)
    assert [record.name for record in stage.synced[-1].records] == ["v1", "v4"]
    await stage.until(lambda: (o := stage.mirror.mirrored(A).outcome) and o.digest == wish(A, "v1", "v4").digest)


async def test_an_outage_is_told_to_all_that_wait_and_asked_about_by_one(stage: Stage) -> None:
    stage.fault = unavailable
    for key in (A, B):
        stage.mirror.register(key, wish(key, "v1"))
    await stage.until(lambda: stage.error(A) and stage.error(B))
    assert stage.error(A) == stage.error(B) == "MlflowUnreachable"
    assert len(stage.synced) == 1
    await stage.until(lambda: len(stage.synced) >= 3)
    assert sorted(stage.woken) == [A, B], "it is told once"
    stage.fault = lambda: None
    await stage.until(lambda: not stage.error(A) and not stage.error(B))


async def test_a_refusal_of_one_model_holds_up_no_other(stage: Stage) -> None:
    def refuse() -> None:
        if stage.synced[-1].owner == "team/a":
            raise MlflowError("RegisteredModelTaken", "it is another's")

    stage.fault = refuse
    stage.mirror.register(A, wish(A, "v1"))
    stage.mirror.register(B, wish(B, "v1"))
    await stage.until(lambda: (o := stage.mirror.mirrored(B).outcome) and not o.error)
    assert stage.error(A) == "RegisteredModelTaken"
    stage.mirror.register(A, None)
    asked = len(stage.synced)
    await asyncio.sleep(0.2)
    assert len(stage.synced) == asked, "nobody wants it any more"


async def test_whatever_the_library_raises_is_told_and_tried_again(stage: Stage) -> None:
    def burst() -> None:
        raise KeyError("a bug of others")

    stage.fault = burst
    stage.mirror.register(A, wish(A, "v1"))
    await stage.until(lambda: stage.error(A) == "MlflowRefused")
    stage.fault = lambda: None
    await stage.until(lambda: not stage.error(A))


async def test_pauses_grow_to_a_limit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 5.0)
    monkeypatch.setattr(module, "elapsed", lambda: 0.0)
    stage.mirror._wanted[A] = wish(A)
    pauses = []
    for _ in range(9):
        stage.mirror._fail(A, wish(A), MlflowError("MlflowRefused", "no"))
        pauses.append(stage.mirror._not_before[A])
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    del stage.mirror._wanted[A]
