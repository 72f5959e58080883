"""/healthz, /readyz and /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from topgraft.cluster.caches import Caches
from topgraft.cluster.lease import Elector
from topgraft.cluster.queue import WorkQueue


class Health:
    """What the probes are answered from."""

    def __init__(self, elector: Elector, caches: Caches) -> None:
        self._elector = elector
        self._caches = caches
        self.filled = False
        """The caches were filled and the workers run."""

    def alive(self) -> str:
        """What is wrong, or "". Only what a restart can mend counts: an unreachable API server is not among it."""
        if self._caches.echoes.dead():
            return f"a watch that owes a change has brought nothing for {self._caches.echoes.silence():.0f} s"
        return ""

    def ready(self) -> str:
        """What is missing, or "".

        A replica that waits for the Lease is ready: it does its part, and a Deployment of two replicas could else
        never be rolled out.
        """
        if self.filled or self._elector.standing_by:
            return ""
        return "the caches are not filled yet"


class ClusterMetrics(Collector):
    """Figures that are read off the caches when Prometheus asks."""

    def __init__(self, caches: Caches, queue: WorkQueue) -> None:
        self._caches = caches
        self._queue = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        silence = self._caches.echoes.silence()
        yield GaugeMetricFamily("topgraft_queue_depth", "Models that wait for a worker.", len(self._queue))
        yield GaugeMetricFamily("topgraft_queue_busy", "Models in a worker's hands.", self._queue.busy)
        yield GaugeMetricFamily("topgraft_watch_silence_seconds", "Silence of a watch that owes a change.", silence)
        rolling = 0
        conditions: Counter[tuple[str, str]] = Counter()
        for key in list(self._caches.models.owners()):
            for model in self._caches.models.owned_by(key):
                rolling += model.status.rollout is not None
                conditions.update((c.type, c.status) for c in model.status.conditions)
        yield GaugeMetricFamily("topgraft_rollouts_in_progress", "Models with a rollout in progress.", rolling)
        models = GaugeMetricFamily("topgraft_models", "Models by condition.", labels=["condition", "status"])
        for (kind, status), count in conditions.items():
            models.add_metric([kind, status], count)
        yield models


async def serve(health: Health, collector: Collector, host: str, port: int) -> web.AppRunner:
    """Listen until the returned runner is cleaned up. Raises `OSError` when the address is taken."""
    REGISTRY.register(collector)

    async def healthz(_: web.Request) -> web.Response:
        return _answer(health.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(health.ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    # No handling of signals and no access log: both are the process's own business.
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _answer(trouble: str) -> web.Response:
    return web.Response(status=503, text=trouble + "\n") if trouble else web.Response(text="ok\n")
