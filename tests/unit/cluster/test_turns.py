"""No tenant's silent servers keep another's figures from being read."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from fakeapi import eventually
from test_sampler import PROMETHEUS, asking, pod, running, served, text, vector
from topgraft.api.verification import Limits, LiveMetrics
from topgraft.cluster.turns import Turns
from topgraft.rollout.comparison import Comparison, Watch
from topgraft.rollout.traffic import QueriedTraffic

VICTIM = ("victim", "m")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def test_one_model_and_one_namespace_hold_only_their_own_turns() -> None:
    turns, held, most = Turns(model=2, namespace=4, total=32), {"evil": 0, "victim": 0}, 0

    async def hold(key: tuple[str, str]) -> None:
        nonlocal most
        async with turns.take(key):
            held[key[0]] += 1
            most = max(most, held["evil"])
            await asyncio.sleep(3600 if key[0] == "evil" else 0)

    evil = [asyncio.create_task(hold(("evil", f"m{number % 3}"))) for number in range(60)]
    await asyncio.sleep(0.01)
    await asyncio.wait_for(hold(VICTIM), 1)
    assert (most, held["victim"]) == (4, 1)
    for task in evil:
        task.cancel()
    await asyncio.gather(*evil, return_exceptions=True)
    del evil, task
    await asyncio.sleep(0)
    gc.collect()
    assert not turns._models, "nothing is kept of Models that nobody asks for"


async def test_sixty_silent_pods_do_not_delay_anothers_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def good(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(text=text(asked))

    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with running(monkeypatch) as bench, served(good) as quick, served(silent) as slow:
        owned: dict[Any, Any] = {VICTIM: (pod(quick, "v"),)}
        for model in ("a", "b", "c"):
            owned["evil", model] = tuple(pod(slow, f"{model}-{number}") for number in range(20))
        bench.sampler._caches = SimpleNamespace(pods=SimpleNamespace(owned_by=owned.get))  # type: ignore[assignment]
        for key in reversed(owned):
            bench.sampler.watch(key, Watch(LiveMetrics(source="Pods"), Limits(window_seconds=1), ("digits-1",)))
        await eventually(lambda: asked >= 10)


class SlowForEvil:
    """A Prometheus that answers one namespace's queries at once and another's never."""

    waiting = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        if 'namespace="evil"' in query:
            self.waiting += 1
            await asyncio.sleep(30)
        return web.json_response(vector(1))


async def test_a_tenants_slow_queries_do_not_take_prometheus_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SlowForEvil()
    async with asking(monkeypatch, server) as bench:  # type: ignore[arg-type]
        watch = Watch(PROMETHEUS, Limits(window_seconds=1, min_samples=1), ("v1",), (Comparison("v1", LONG_AGO),))
        for number in range(30):
            bench.sampler.watch(("evil", f"m{number}"), watch)
        await eventually(lambda: server.waiting > 0)
        bench.sampler.watch(VICTIM, watch)
        await eventually(lambda: isinstance(bench.sampler.live(VICTIM).get("v1"), QueriedTraffic))
