"""Reads the live traffic of the Models that the core asks to watch, and wakes them when a verdict on it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import aiohttp

from topgraft.cluster import metrics
from topgraft.cluster.caches import Caches
from topgraft.cluster.clock import Clock, elapsed
from topgraft.cluster.exposition import UnreadableError, parse
from topgraft.cluster.fetch import MAX_QUERIES, FetchError, SilentError, fetch, session
from topgraft.cluster.prometheus import Prometheus, QueryError, Scope
from topgraft.cluster.queue import Key
from topgraft.cluster.series import Series, interval
from topgraft.cluster.turns import Turns
from topgraft.rollout.comparison import BASELINE_WINDOWS, Watch
from topgraft.rollout.podspec import host_port
from topgraft.rollout.traffic import Counters, Traffic
from topgraft.rollout.views import Pod

log = logging.getLogger(__name__)

SCRAPES = {"model": 2, "namespace": 4, "total": 32}
"""How many pods are asked at once."""
QUERIES = {"model": 1, "namespace": 2, "total": MAX_QUERIES}
LONG_SECONDS = 3600
"""How far back a baseline is asked for where the last windows have too few samples."""


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
        self._scrapes, self._queries = Turns(**SCRAPES), Turns(**QUERIES)

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
            series = known.get(version) or Series(watch.limits)
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
            uid = pod.metadata.uid
            try:
                async with self._scrapes.take(key):
                    read[uid] = series.admit(uid, await self._read(pod, path))
            except (FetchError, UnreadableError) as error:
                if isinstance(error, SilentError):
                    series.rest(uid)
                errors.append(f"pod {pod.name}: GET {path}: {error}")

        await asyncio.gather(*(scrape(pod) for pod in series.due(pods)))
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
        server = Prometheus(self._url, self._client, lambda: self._queries.take(key))
        now = self._clock.now()
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
