"""The watch of HTTPRoutes. kopf's watches are fixed at the start; the Gateway API may be installed at any time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client
from topgraft.cluster.errors import ClusterError, Refused
from topgraft.cluster.kinds import HTTP_ROUTE
from topgraft.rollout.routeview import GatewayApi

log = logging.getLogger(__name__)

WATCH_SECONDS = 300
"""Length of one watch. Each begins with a full list, so what a watch never told is repaired as by the resync."""
ABSENT_SECONDS = 30.0
RETRY_SECONDS = 2.0


class Routes:
    """Keeps the cached HTTPRoutes current, and knows whether the cluster has such a kind at all."""

    def __init__(self, client: Client, caches: Caches, namespaces: Sequence[str], wake: Callable[[], None]) -> None:
        """`wake`: told when the Gateway API comes or goes. No `namespaces`: the whole cluster."""
        self._client = client
        self._caches = caches
        self.scopes: Sequence[str | None] = list(namespaces) or [None]
        self._wake = wake
        self._unusable: dict[str | None, GatewayApi] = {}
        self.state = GatewayApi.MISSING

    async def fill(self) -> None:
        """Know the routes, or that there are none to know, before any decision."""
        for scope in self.scopes:
            while True:
                try:
                    await self._list(scope)
                    break
                except ClusterError as error:
                    log.warning("cannot list HTTPRoutes yet: %s", error)
                    await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def follow(self, scope: str | None) -> None:
        """Watch one scope until cancelled."""
        while True:
            pause = RETRY_SECONDS
            try:
                version = await self._list(scope)
                if version is None:
                    pause = ABSENT_SECONDS
                else:
                    pause = 0.0
                    async for event in self._client.watch(HTTP_ROUTE, scope, version, WATCH_SECONDS):
                        gone = event["type"] == "DELETED"
                        self._caches.watched(HTTP_ROUTE, event["object"], gone=gone)
            except ClusterError as error:
                log.warning("the watch of HTTPRoutes ended: %s", error)
                pause = RETRY_SECONDS
            except Exception:
                log.exception("the watch of HTTPRoutes ended")
                pause = RETRY_SECONDS
            # Also without a failure: a server that ends each watch at once must not be asked in a busy loop.
            await asyncio.sleep(max(pause, 0.2) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _list(self, scope: str | None) -> int | None:
        """List the routes of a scope. Returns the list's resourceVersion; None where the kind cannot be used."""
        if HTTP_ROUTE.plural not in await self._client.served(HTTP_ROUTE.group, HTTP_ROUTE.version):
            self._found(scope, GatewayApi.MISSING)
            return None
        listed: set[str] = set()
        version = 0
        try:
            async for objects, list_version in self._client.pages(HTTP_ROUTE, scope):
                version = list_version
                for obj in objects:
                    listed.add(obj["metadata"]["uid"])
                    self._caches.read(HTTP_ROUTE, obj)
        except Refused as refusal:
            log.warning("cannot list HTTPRoutes: %s", refusal)
            self._found(scope, GatewayApi.FORBIDDEN)
            return None
        self._caches.sweep(HTTP_ROUTE, scope, listed, version)
        # What was written between two watches is in the list, and on no watch.
        self._caches.echoes.heard((HTTP_ROUTE, scope), version)
        self._found(scope, GatewayApi.READY)
        return version

    def _found(self, scope: str | None, state: GatewayApi) -> None:
        self._unusable[scope] = state
        worst = next((s for s in self._unusable.values() if s is not GatewayApi.READY), GatewayApi.READY)
        if worst is not self.state:
            self.state = worst
            self._wake()
