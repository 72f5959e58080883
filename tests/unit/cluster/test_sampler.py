"""Sampling against real HTTP servers, good and hostile ones, and against a Prometheus of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from fakeapi import eventually
from topgraft.api.verification import Baseline, Limits, LiveMetrics
from topgraft.cluster import fetch, series
from topgraft.cluster import sampler as module
from topgraft.cluster.clock import Clock
from topgraft.cluster.sampler import Sampler
from topgraft.rollout.comparison import Comparison, Watch
from topgraft.rollout.traffic import PodTraffic, QueriedTraffic, Unseen
from topgraft.rollout.views import Pod

KEY = ("team", "digits")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pod(port: int, name: str = "digits-1-rs-a", version: str = "digits-1", **changes: Any) -> Pod:
    body = {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": name,
            "creationTimestamp": "2026-11-22T12:00:00Z",
            "labels": {"topgraft.dev/version": version, "topgraft.dev/role": "serving"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{version}-rs", "uid": "rs"}],
        },
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    for part, values in changes.items():
        body[part].update(values)
    return Pod.model_validate(body)


def text(requests: float, errors: float = 0) -> str:
    return (
        f'topgraft_adapter_requests_total{{code="200"}} {requests}\n'
        f'topgraft_adapter_requests_total{{code="500"}} {errors}\n'
        f'topgraft_adapter_request_seconds_bucket{{le="0.1"}} {requests + errors}\n'
    )


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # a handler that sleeps is not waited for
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


class Bench:
    """A sampler whose pods the test names; `woken` are the keys that it woke."""

    def __init__(self, prometheus: str | None = None) -> None:
        self.pods: list[Pod] = []
        self.woken: list[Any] = []
        caches = SimpleNamespace(pods=SimpleNamespace(owned_by=lambda key: tuple(self.pods) if key == KEY else ()))
        self.sampler = Sampler(caches, self.woken.append, Clock(), prometheus)  # type: ignore[arg-type]

    def watch(self, *versions: str, **more: Any) -> None:
        metrics = more.pop("metrics", LiveMetrics(source="Pods"))
        limits = more.pop("limits", Limits(window_seconds=1, min_samples=1))
        self.sampler.watch(KEY, Watch(metrics, limits, versions, **more))

    def traffic(self, version: str = "digits-1") -> Any:
        return self.sampler.live(KEY).get(version)

    async def error(self) -> tuple[str, str]:
        await eventually(lambda: self.traffic() is not None and self.traffic().error is not None)
        found = self.traffic().error
        assert found is not None
        return (str(found[0]), str(found[1]))


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with running(monkeypatch) as one:
        yield one


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch, prometheus: str | None = None) -> AsyncIterator[Bench]:
    for one in (module, series):
        monkeypatch.setattr(one, "interval", lambda _: 0.05)
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.5)
    bench = Bench(prometheus)
    task = asyncio.create_task(bench.sampler.run())
    await asyncio.sleep(0)
    yield bench
    task.cancel()
    await asyncio.wait([task])
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("sample ") and not t.cancelling()]


async def test_counters_are_summed_over_the_ready_pods_of_the_version(bench: Bench) -> None:
    count = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 10
        return web.Response(text=text(count, 1))

    async with served(handler) as port, served(handler) as other:
        bench.pods = [pod(port), pod(other, "digits-1-rs-b"), pod(1, "digits-2-rs-a", "digits-2")]
        bench.watch("digits-1")
        await eventually(lambda: bench.traffic() is not None and len(bench.traffic().samples) > 5)
        found: PodTraffic = bench.traffic()
    assert found.samples[0][1].requests == 0, "what was counted before the first look is none of the samples'"
    assert found.samples[-1][1].requests > 50
    assert found.lifetime.errors == 2
    assert bench.woken[:1] == [KEY]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"podIP": ""}},
        {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"labels": {"topgraft.dev/version": "digits-1", "topgraft.dev/role": "preflight"}}},
    ],
)
async def test_other_pods_are_never_asked(bench: Bench, changes: dict[str, Any]) -> None:
    asked = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(text=text(1))

    async with served(handler) as port:
        bench.pods = [pod(port, **changes)]
        bench.watch("digits-1")
        await eventually(lambda: bench.traffic() is not None)
        await asyncio.sleep(0.2)
    assert asked == 0
    assert isinstance(bench.traffic(), Unseen)


async def test_the_end_of_the_watch_ends_the_reading(bench: Bench) -> None:
    asked = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(text=text(1))

    async with served(handler) as port:
        bench.pods = [pod(port)]
        bench.watch("digits-1")
        await eventually(lambda: asked > 2)
        bench.sampler.watch(KEY, None)
        await asyncio.sleep(0.1)
        before = asked
        await asyncio.sleep(0.3)
    assert asked == before
    assert bench.sampler.live(KEY) == {}


async def _huge(_: web.Request) -> web.StreamResponse:
    return web.Response(text="x" * 2_000_000)


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response(text=text(1))


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"# nothing\n")
        await asyncio.sleep(0.2)


async def _redirect(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:1/elsewhere")


async def _bytes(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff\xfe topgraft_adapter_requests_total 1")


async def _nan(_: web.Request) -> web.StreamResponse:
    return web.Response(text='topgraft_adapter_requests_total{code="200"} NaN')


async def _gzip(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x1f\x8b" + b"0" * 100, headers={"Content-Encoding": "gzip"})


async def _not_found(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (_huge, "larger than 1048576 bytes"),
        (_slow, "no answer within"),
        (_drip, "no answer within"),
        (_redirect, "HTTP status 302"),
        (_bytes, "not UTF-8"),
        (_nan, "NaN: a counter is a number"),
        (_gzip, "not UTF-8"),
        (_not_found, "HTTP status 404"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_hostile_pod_is_told_and_brings_nothing(
    bench: Bench, handler: Handler, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(handler) as port:
        bench.pods = [pod(port)]
        bench.watch("digits-1")
        reason, message = await bench.error()
    assert reason == "MetricsUnreadable"
    assert message.startswith("pod digits-1-rs-a: GET /metrics: ")
    assert said in message
    assert isinstance(bench.traffic(), Unseen)


async def test_no_server_and_one_that_speaks_no_http(bench: Bench) -> None:
    bench.pods = [pod(1)]
    bench.watch("digits-1")
    assert "cannot connect" in (await bench.error())[1]

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    bench.sampler.watch(KEY, None)
    bench.pods = [pod(server.sockets[0].getsockname()[1])]
    bench.watch("digits-1")
    assert (await bench.error())[0] == "MetricsUnreadable"
    server.close()


async def test_one_slow_pod_delays_neither_another_model_nor_the_event_loop(bench: Bench) -> None:
    async def good(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text(1))

    async with served(_slow) as slow, served(good) as quick:
        bench.pods = [pod(slow)]
        bench.watch("digits-1")
        other = ("team", "other")
        caches = SimpleNamespace(owned_by=lambda key: (pod(quick),) if key == other else tuple(bench.pods))
        bench.sampler._caches = SimpleNamespace(pods=caches)  # type: ignore[assignment]
        bench.sampler.watch(other, Watch(LiveMetrics(source="Pods"), Limits(window_seconds=1), ("digits-1",)))
        began = time.monotonic()
        await eventually(lambda: len(getattr(bench.sampler.live(other).get("digits-1"), "samples", ())) > 3)
        assert time.monotonic() - began < 3


async def test_a_breach_wakes_the_model_once(bench: Bench) -> None:
    count = 0

    async def bad(_: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 100
        return web.Response(text=text(0, count))

    baseline = Baseline(version="old", requests=1000, error_rate="0", latency_p95="9", time=NOW)
    comparison = Comparison("digits-1", datetime.now(UTC), baseline)
    async with served(bad) as port:
        bench.pods = [pod(port)]
        bench.watch("digits-1", comparisons=(comparison,))

        def broken() -> bool:
            judged = comparison.judge(bench.sampler.live(KEY), Limits(window_seconds=1, min_samples=1), Clock().now())
            return judged.breach is not None

        await eventually(broken, 10)
        await asyncio.sleep(0.2)
        woken = len(bench.woken)
        await asyncio.sleep(0.5)
    assert 2 <= woken <= 6, "the first figures, inconclusive, failed"
    assert len(bench.woken) <= woken + 1


# -- Prometheus ------------------------------------------------------------------------------------------------------
QUERIES = {
    "requests": "sum("
    'increase(requests{version="{{version}}",model="{{model}}",namespace="{{namespace}}"}[{{window}}]))',
    "errorRate": "rate",
    "labels": "labels",
}
PROMETHEUS = LiveMetrics.model_validate({"source": "Prometheus", "queries": QUERIES})


def vector(*values: float, label: str = "") -> dict[str, Any]:
    result = [{"metric": {"label": label} if label else {}, "value": [0, str(value)]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


class FakePrometheus:
    """Answers by query; a callable makes the answer itself."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"sum": vector(100), "rate": vector(0.25), "labels": vector(60, label="a"), **answers}
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path) == ("POST", "/prefix/api/v1/query")
        query = str((await request.post())["query"])
        self.asked.append(query)
        answer = self.answers[query[:6] if query == "labels" else query[:4] if query == "rate" else "sum"]
        if isinstance(answer, tuple):
            return web.json_response(answer[1], status=answer[0])
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)


@asynccontextmanager
async def asking(monkeypatch: pytest.MonkeyPatch, prometheus: FakePrometheus) -> AsyncIterator[Bench]:
    async with served(prometheus) as port, running(monkeypatch, f"http://127.0.0.1:{port}/prefix/") as bench:
        yield bench


async def test_queries_are_filled_and_answers_become_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakePrometheus()
    async with asking(monkeypatch, server) as bench:
        bench.watch("digits-2", metrics=PROMETHEUS, comparisons=(Comparison("digits-2", NOW),))
        await eventually(lambda: isinstance(bench.traffic("digits-2"), QueriedTraffic))
        figures = bench.traffic("digits-2").points[0][1]
    assert (figures.requests, figures.error_rate, figures.labels) == (100, 0.25, {"a": 60})
    assert 'sum(increase(requests{version="digits-2",model="digits",namespace="team"}[1s]))' in server.asked


async def test_a_baseline_looks_further_back_where_samples_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakePrometheus(sum=vector(3))
    async with asking(monkeypatch, server) as bench:
        bench.watch("digits-1", metrics=PROMETHEUS, limits=Limits(window_seconds=10))
        await eventually(lambda: isinstance(bench.traffic(), QueriedTraffic))
        assert bench.traffic().baseline(50, 100, NOW).error_rate == 0.25
    windows = [query.rpartition("[")[2].partition("]")[0] for query in server.asked if query.startswith("sum")]
    assert windows[:2] == ["100s", "3600s"]


@pytest.mark.parametrize(
    ("answers", "reason", "said"),
    [
        ({"sum": vector()}, "QueryEmpty", "queries.requests returned nothing; it was: sum(increase("),
        ({"rate": vector()}, "QueryEmpty", "queries.errorRate returned nothing, though there were 100 requests"),
        ({"rate": vector(1, 2)}, "QueryFailed", "queries.errorRate returned 2 series: aggregate them"),
        ({"rate": (400, {"status": "error", "error": "parse error: x"})}, "QueryFailed", "failed: parse error: x"),
        ({"rate": (503, {})}, "PrometheusUnreachable", "HTTP status 503"),
        ({"rate": "<html>"}, "PrometheusUnreachable", "the answer is not one of Prometheus"),
        ({"rate": "[" * 100_000}, "PrometheusUnreachable", "the answer is not one of Prometheus"),
        (
            {"rate": {"status": "success", "data": {"resultType": "matrix", "result": []}}},
            "QueryFailed",
            "returned a matrix",
        ),
    ],
)
async def test_bad_answers_are_told_with_the_query(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], reason: str, said: str
) -> None:
    async with asking(monkeypatch, FakePrometheus(**answers)) as bench:
        bench.watch("digits-1", metrics=PROMETHEUS, comparisons=(Comparison("digits-1", NOW),))
        found = await bench.error()
    assert found[0] == reason
    assert said in found[1]


async def test_no_share_of_nothing_is_unknown_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(monkeypatch, FakePrometheus(rate=vector(float("nan")))) as bench:
        bench.watch("digits-1", metrics=PROMETHEUS, comparisons=(Comparison("digits-1", NOW),))
        await eventually(lambda: isinstance(bench.traffic(), QueriedTraffic))
        assert bench.traffic().points[0][1].error_rate is None


async def test_prometheus_down_and_not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch, "http://127.0.0.1:1") as bench:
        bench.watch("digits-1", metrics=PROMETHEUS, comparisons=(Comparison("digits-1", NOW),))
        reason, message = await bench.error()
        assert reason == "PrometheusUnreachable"
        assert "spec.verification.metrics.queries." in message
        assert "could not be asked: Prometheus: " in message
    async with running(monkeypatch) as bench:
        bench.watch("digits-1", metrics=PROMETHEUS)
        assert (await bench.error())[0] == "PrometheusNotConfigured"
