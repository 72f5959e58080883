"""Reads the live traffic of the Models that the core asks to watch, and wakes them when a verdict on it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import aiohttp

from topgraft.cluster import metrics
from topgraft.cluster.caches import Caches
from topgraft.cluster.clock import Clock, elapsed
from topgraft.cluster.exposition import UnreadableError, parse
from topgraft.cluster.fetch import FetchError, fetch, session
from topgraft.cluster.prometheus import Prometheus, QueryError, Scope
from topgraft.cluster.queue import Key
from topgraft.rollout.comparison import BASELINE_WINDOWS, Watch
from topgraft.rollout.traffic import Counters, Figures, PodTraffic, QueriedTraffic, Traffic, Unseen
from topgraft.rollout.views import Pod, host_port

log = logging.getLogger(__name__)

Sampled = TypeVar("Sampled", Counters, Figures)

TRIES = 3
"""Rounds in a row that must fail before it is told: a pod may be gone a moment before the watch says so."""
MAX_SAMPLES = 2_000
PODS_AT_ONCE = 8
LONG_SECONDS = 3600
"""How far back a baseline is asked for where the last windows have too few samples."""


def interval(window_seconds: int) -> float:
    """Seconds between two rounds: a tenth of a window, from 1 to 10."""
    return min(10.0, max(1.0, window_seconds / 10))


class Series:
    """What is known of one version's traffic. `add` what a round brought, or `fail`; `traffic` is what looks see."""

    def __init__(self, window_seconds: int) -> None:
        self._window_seconds = window_seconds
        self._spacing = timedelta(seconds=interval(window_seconds) * 0.7)
        self._failures = 0
        self._error: tuple[str, str] | None = None
        self._pods: dict[str, Counters] = {}
        self._total = Counters()
        self._samples: list[tuple[datetime, Counters]] = []
        self._points: list[tuple[datetime, Figures]] = []
        self._lifetime = Figures()
        self.asked_at = -1e9

    def add_pods(self, read: Mapping[str, Counters], live: Iterable[str], time: datetime) -> None:
        """Take in the counters of pods, by uid. A pod seen for the first time has counted nothing yet that matters."""
        for uid, counters in read.items():
            before = self._pods.get(uid)
            if before is not None:
                self._total = self._total.plus(counters if counters.restarted(before) else counters.minus(before))
            self._pods[uid] = counters
        for uid in self._pods.keys() - set(live):
            del self._pods[uid]
        self._succeeded()
        _append(self._samples, time, self._total, self._spacing)

    def add_point(self, figures: Figures, time: datetime) -> None:
        self._succeeded()
        _append(self._points, time, figures, self._spacing)

    def set_baseline(self, figures: Figures) -> None:
        self._succeeded()
        self._lifetime = figures

    def fail(self, reason: str, message: str, *, lasting: bool = False) -> None:
        """Note a round that brought nothing; the error is told after some in a row."""
        self._failures = TRIES if lasting else self._failures + 1
        if self._failures >= TRIES:
            self._error = (reason, message)

    def _succeeded(self) -> None:
        self._failures, self._error = 0, None

    @property
    def traffic(self) -> Traffic:
        if self._samples:
            lifetime = Counters()
            for counters in self._pods.values():
                lifetime = lifetime.plus(counters)
            return PodTraffic(tuple(self._samples), lifetime, self._error)
        if self._points or self._lifetime.requests:
            return QueriedTraffic(tuple(self._points), self._window_seconds, self._lifetime, self._error)
        return Unseen(self._error)


def _append(kept: list[tuple[datetime, Sampled]], time: datetime, one: Sampled, spacing: timedelta) -> None:
    """The newest is always there; the others are apart by the spacing, and the first stays as long as any."""
    if len(kept) > 1 and kept[-1][0] - kept[-2][0] < spacing:
        kept.pop()
    kept.append((time, one))
    if len(kept) > MAX_SAMPLES:
        del kept[1]


class Sampler:
    """One task per watched Model: a slow pod of one delays no other, and nothing is done for a Model at rest."""

    def __init__(self, caches: Caches, wake: Callable[[Key], None], clock: Clock, prometheus_url: str | None) -> None:
        self._caches = caches
        self._wake = wake
        self._clock = clock
        self._url = prometheus_url
        self._client: aiohttp.ClientSession | None = None
        self._watches: dict[Key, Watch] = {}
        self._series: dict[Key, dict[str, Series]] = {}
        self._told: dict[Key, tuple[object, ...]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(PODS_AT_ONCE)

    async def run(self) -> None:
        """Keep the connections open until cancelled; then every task ends."""
        self._client = session()
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await self._client.close()

    def watch(self, key: Key, wanted: Watch | None) -> None:
        """What the core asks for, anew after each look; None: nothing more."""
        before = self._watches.get(key)
        if wanted is None:
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()
            for kept in (self._watches, self._series, self._told):
                kept.pop(key, None)
            return
        self._watches[key] = wanted
        series = self._series.setdefault(key, {})
        if before is not None and (before.metrics, before.limits) != (wanted.metrics, wanted.limits):
            series.clear()
        for name in series.keys() - set(wanted.versions):
            del series[name]
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._repeat(key), name=f"sample {key[0]}/{key[1]}")

    def live(self, key: Key) -> Mapping[str, Traffic]:
        """What is known now, by version; a version that no round was made for yet is not in it."""
        return {name: series.traffic for name, series in self._series.get(key, {}).items()}

    async def _repeat(self, key: Key) -> None:
        while True:
            began = elapsed()
            watch = self._watches[key]
            try:
                await self._round(key, watch)
            except Exception:
                log.exception("a round of sampling failed", extra={"namespace": key[0], "model": key[1]})
            metrics.SAMPLE_SECONDS.observe(elapsed() - began)
            every = interval(watch.limits.window_seconds)
            await asyncio.sleep(max(0.05, every - (elapsed() - began)))

    async def _round(self, key: Key, watch: Watch) -> None:
        known = self._series[key]
        for version in watch.versions:
            series = known.get(version) or Series(watch.limits.window_seconds)
            if watch.metrics.source == "Pods":
                await self._scrape(key, version, series, watch.metrics.path)
            else:
                await self._query(key, version, series, watch)
            if self._watches.get(key) is not None and version in self._watches[key].versions:
                known[version] = series
        current = self._watches.get(key)
        told = current.told(self.live(key), self._clock.now()) if current else ()
        if told != self._told.get(key):
            self._told[key] = told
            self._wake(key)

    async def _scrape(self, key: Key, version: str, series: Series, path: str) -> None:
        pods = [pod for pod in self._caches.pods.owned_by(key) if _serves(pod, version)]
        read: dict[str, Counters] = {}
        errors: list[str] = []

        async def scrape(pod: Pod) -> None:
            try:
                async with self._limit:
                    read[pod.metadata.uid] = await self._read(pod, path)
            except (FetchError, UnreadableError) as error:
                errors.append(f"pod {pod.name}: GET {path}: {error}")

        await asyncio.gather(*(scrape(pod) for pod in pods))
        for result, count in (("ok", len(read)), ("error", len(errors))):
            metrics.SCRAPES.labels(result).inc(count)
        if read:
            series.add_pods(read, [pod.metadata.uid for pod in pods], self._clock.now())
        elif errors:
            series.fail("MetricsUnreadable", min(errors))

    async def _read(self, pod: Pod, path: str) -> Counters:
        assert self._client is not None, "run() comes before the first look"
        return parse(await fetch(self._client, f"http://{host_port(pod.status.pod_ip, _port(pod))}{path}"))

    async def _query(self, key: Key, version: str, series: Series, watch: Watch) -> None:
        queries, limits = watch.metrics.queries, watch.limits
        if self._url is None or queries is None or self._client is None:
            text = "spec.verification.metrics.source is Prometheus, but the operator was started without --prometheus"
            series.fail("PrometheusNotConfigured", text, lasting=True)
            return
        server, now = Prometheus(self._url, self._client), self._clock.now()
        compared = any(one.version == version for one in watch.comparisons)

        def scope(seconds: int) -> Scope:
            return Scope(*key, version, seconds)

        try:
            if compared:
                series.add_point(await server.figures(queries, scope(limits.window_seconds), now), now)
                return
            if elapsed() - series.asked_at < interval(limits.window_seconds) * 5:
                return
            figures = await server.figures(queries, scope(limits.window_seconds * BASELINE_WINDOWS), now)
            if figures.requests < limits.min_samples:
                figures = await server.figures(queries, scope(LONG_SECONDS), now)
            series.asked_at = elapsed()
            series.set_baseline(figures)
        except QueryError as error:
            series.fail(error.reason, str(error), lasting=error.lasting)


def _serves(pod: Pod, version: str) -> bool:
    """Only pods that our own Deployment made, and that answer."""
    ours = pod.version == version and pod.role == "serving" and pod.runs_for(version)
    return ours and pod.ready and bool(pod.status.pod_ip)


def _port(pod: Pod) -> int:
    first = next((port.container_port for container in pod.spec.containers for port in container.ports), 8080)
    return pod.port("http") or first
