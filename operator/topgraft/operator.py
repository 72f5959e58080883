"""The wiring: one process from its start to its end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import platform
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

from aiohttp.web import AppRunner
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from topgraft.cluster import logs, metrics, watch
from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client, connect
from topgraft.cluster.clock import Clock
from topgraft.cluster.errors import ClusterError
from topgraft.cluster.health import ClusterMetrics, Health, serve
from topgraft.cluster.kinds import GROUP, OWN, VERSION
from topgraft.cluster.lease import REQUEST_TIMEOUT, Elector, LeaseLost
from topgraft.cluster.mlflow import MlflowMirror
from topgraft.cluster.mlflowsync import Mlflow, MlflowMissing
from topgraft.cluster.observer import Observer
from topgraft.cluster.queue import WorkQueue
from topgraft.cluster.reconciler import Reconciler
from topgraft.cluster.recorder import Recorder
from topgraft.cluster.refusals import Refusals
from topgraft.cluster.resync import Resync
from topgraft.cluster.routes import Routes
from topgraft.cluster.sampler import Sampler
from topgraft.cluster.slots import Slots
from topgraft.rollout.observed import Settings
from topgraft.rollout.plan import plan
from topgraft.rollout.routeview import GatewayApi

log = logging.getLogger(__name__)

LEASE_NAME = "topgraft"
LAST_TURNS_SECONDS = 5.0
LAST_EVENTS_SECONDS = 1.0
LAST_TASKS_SECONDS = 2.0
API_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What the command line says. No `namespaces`: the whole cluster. No `max_concurrent_rollouts…`: no limit."""

    namespaces: tuple[str, ...]
    lease_namespace: str
    image: str
    workers: int
    max_concurrent_rollouts: int | None
    max_concurrent_rollouts_per_namespace: int | None
    armed_standby: bool
    prometheus: str | None
    gateway_api: bool
    registries: tuple[tuple[str, str], ...]
    mlflow: str | None
    host: str
    port: int


class SetupError(Exception):
    """The cluster or the configuration lacks something; the text says what and how to mend it."""


class Operator:
    """All parts of one process and how they hang together."""

    def __init__(self, options: Options, api: ApiClient) -> None:
        self._options = options
        self._api = api
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        lease_client = Client(api, may_write=lambda: True, timeout=REQUEST_TIMEOUT)
        host = platform.node() or "topgraft"
        self.elector = Elector(lease_client, options.lease_namespace, LEASE_NAME, host, os.environ.get("POD_NAME"))
        self.client = Client(api, may_write=self.elector.valid)
        self.queue = WorkQueue()
        self.caches = Caches(self.queue.add, by_namespace=bool(options.namespaces))
        self.recorder = Recorder(self.client, self.elector.identity)
        limits = options.max_concurrent_rollouts, options.max_concurrent_rollouts_per_namespace
        slots = Slots(*limits, self.caches.models)
        settings = Settings(image=options.image, armed_standby=options.armed_standby, registries=options.registries)
        refusals, clock = Refusals(), Clock()
        self.sampler = Sampler(self.caches, self.queue.add, clock, options.prometheus)
        self.mlflow = MlflowMirror(self.queue.add, configured=options.mlflow is not None)
        self.routes: Routes | None = None
        if options.gateway_api:
            self.routes = Routes(self.client, self.caches, options.namespaces, self._wake_routed)
        observer = Observer(
            self.client,
            self.caches,
            refusals=refusals,
            slots=slots,
            settings=settings,
            clock=clock,
            live=self.sampler.live,
            mirrored=self.mlflow.mirrored,
            gateway_api=lambda: self.routes.state if self.routes else GatewayApi.OFF,
        )
        self.reconciler = Reconciler(
            self.client,
            self.caches,
            self.queue,
            observer=observer,
            recorder=self.recorder,
            refusals=refusals,
            slots=slots,
            plan=plan,
            clock=clock,
            watch=self.sampler.watch,
            register=self.mlflow.register,
        )
        self.resync = Resync(self.client, self.caches, options.namespaces)
        self.health = Health(self.elector, self.caches)

    async def run(self) -> None:
        """Wait for the Lease, lead, and give it back at the end. Returns on SIGTERM or SIGINT.

        Raises `SetupError`; anything else that is raised ended the work in mid-flight.
        """
        self._heed_signals()
        metrics.BUILD.info({"version": version("topgraft")})
        server = await self._listen()
        try:
            await self._unless_stopped(self._connect_mlflow())
            await self._unless_stopped(self._check_kinds())
            await self._unless_stopped(self.elector.acquire())
            if not self._stop.is_set():
                await self._lead()
        finally:
            await server.cleanup()
            await self._api.close()  # type: ignore[no-untyped-call]

    async def _connect_mlflow(self) -> None:
        """Before this process leads: the import takes seconds, in which nothing else would go on."""
        if self._options.mlflow is None:
            return
        try:
            self.mlflow.sync = await asyncio.to_thread(Mlflow, self._options.mlflow)
        except MlflowMissing as error:
            raise SetupError(
                f"--mlflow needs the package mlflow-skinny, which this image lacks ({error}): build it with "
                "--build-arg CONSTRAINTS=constraints/operator-mlflow.txt, or install topgraft[mlflow]"
            ) from error

    async def _listen(self) -> AppRunner:
        host, port = self._options.host, self._options.port
        try:
            return await serve(self.health, ClusterMetrics(self.caches, self.queue), host, port)
        except OSError as error:
            raise SetupError(f"cannot listen on {host}:{port}: {error}; choose another --host or --port") from error

    async def _lead(self) -> None:
        metrics.LEADER.set(1)
        self._start("lease", self._hold())
        try:
            await self._unless_stopped(self.resync.fill())
            if self.routes is not None and not self._stop.is_set():
                await self._unless_stopped(self.routes.fill())
            if not self._stop.is_set():
                await self._work()
        finally:
            metrics.LEADER.set(0)
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            # The watches take seconds to end; a standby must not wait for them.
            await self.elector.release()
            await asyncio.wait(tasks, timeout=LAST_TASKS_SECONDS)
        if self._failure is not None:
            raise self._failure

    async def _work(self) -> None:
        self._start("recorder", self.recorder.run())
        self._start("sampler", self.sampler.run())
        self._start("mlflow", self.mlflow.run())
        self._start("resync", self.resync.repeat())
        if self.routes is not None:
            for scope in self.routes.scopes:
                self._start("routes", self.routes.follow(scope))
        workers = [asyncio.create_task(self.reconciler.work()) for _ in range(self._options.workers)]
        # The caches live as long as the process: the collector need not walk them, which would delay a decision.
        gc.collect()
        gc.freeze()
        self.health.filled = True
        log.info("the caches are filled", extra={"models": len(self.caches.models), "pods": len(self.caches.pods)})
        watching = asyncio.Event()
        self._start("watch", watch.run(self.caches, self._api, self._options.namespaces, watching))
        await self._unless_stopped(watching.wait())
        # From kopf's hands back into ours: it would end the watches first and leave the Lease to the last.
        self._heed_signals()
        await self._stop.wait()
        # A turn is finished, not cut: its writes would else go on in the API server after the Lease is given back.
        self.queue.close()
        _, late = await asyncio.wait(workers, timeout=LAST_TURNS_SECONDS)
        for worker in late:
            worker.cancel()
        await self.recorder.flush(LAST_EVENTS_SECONDS)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _hold(self) -> None:
        try:
            await self.elector.hold()
        except LeaseLost as lost:
            _die(f"ending at once, another process decides from here on: {lost}")

    async def _check_kinds(self) -> None:
        """Wait for the API server, and die when it does not know our kinds: a watch would only ever warn."""
        while True:
            try:
                served = await self.client.served(GROUP, VERSION)
            except ClusterError as error:
                log.warning("cannot reach the API server yet: %s", error)
                await asyncio.sleep(API_RETRY_SECONDS)
                continue
            if missing := [kind.plural for kind in OWN if kind.plural not in served]:
                raise SetupError(
                    f"the cluster does not serve {', '.join(f'{plural}.{GROUP}/{VERSION}' for plural in missing)}: "
                    "install the custom resource definitions (kubectl apply --server-side -f crds/, or the Helm chart)"
                )
            return

    def _wake_routed(self) -> None:
        """The Gateway API came or went: the Models that have a route look again."""
        for key in list(self.caches.models.owners()):
            if any(model.spec.serving.http_route for model in self.caches.models.owned_by(key)):
                self.queue.add(key)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the rest; its end, by a failure or by a signal that kopf took, ends the process."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                return
            if (failure := task.exception()) is not None:
                log.error("%s failed", name, exc_info=failure)
                self._failure = failure
            self._stop.set()

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for `work`, or for the order to stop."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return
        await task


def _die(why: str) -> NoReturn:
    """No clean-up: whatever this process still does, it does without the right to."""
    log.critical(why)
    logging.shutdown()
    os._exit(1)


async def run(options: Options) -> None:
    """Run one operator process to its end."""
    await Operator(options, await connect()).run()


def main(arguments: argparse.Namespace) -> int:
    """Run the verb `operator`; returns the exit status."""
    logs.set_up(arguments.log_format, arguments.log_level)
    options = Options(
        namespaces=tuple(dict.fromkeys(arguments.namespace)),
        lease_namespace=arguments.lease_namespace,
        image=arguments.image,
        workers=arguments.workers,
        max_concurrent_rollouts=arguments.max_concurrent_rollouts,
        max_concurrent_rollouts_per_namespace=arguments.max_concurrent_rollouts_per_namespace,
        armed_standby=arguments.armed_standby,
        prometheus=arguments.prometheus,
        gateway_api=arguments.gateway_api,
        registries=tuple(dict(arguments.registry).items()),
        mlflow=arguments.mlflow,
        host=arguments.host,
        port=arguments.port,
    )
    try:
        asyncio.run(run(options))
    except SetupError as error:
        log.critical("%s", error)
    except ConfigException as error:
        log.critical("neither a ServiceAccount nor a KUBECONFIG to log in with: %s", error)
    except Exception:
        log.critical("the operator failed", exc_info=True)
    else:
        return 0
    return 1
