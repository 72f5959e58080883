"""Compare the caches with full lists: at the start, and now and then to repair what the watch never told."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from topgraft.cluster import metrics
from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client
from topgraft.cluster.errors import ClusterError, Expired
from topgraft.cluster.kinds import WATCHED, Kind
from topgraft.cluster.queue import Key

log = logging.getLogger(__name__)

SOON = 30.0
"""Seconds to the first resync: a deletion between the first fill and the start of the watches is told by nobody."""
EVERY = 300.0
RETRY = 5.0


class Resync:
    def __init__(self, client: Client, caches: Caches, namespaces: Sequence[str]) -> None:
        """No `namespaces`: the whole cluster."""
        self._client = client
        self._caches = caches
        self._scopes: Sequence[str | None] = list(namespaces) or [None]

    async def fill(self) -> None:
        """Fill the caches before any decision: absence in half a cache is no fact."""
        while True:
            try:
                await self.once(expect=False)
            except ClusterError as error:
                log.warning("cannot fill the caches yet: %s", error)
                await asyncio.sleep(RETRY * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            else:
                return

    async def repeat(self) -> None:
        """Resync for ever, with jitter so that the operators of many clusters spread their lists."""
        delay = SOON
        while True:
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            delay = EVERY
            try:
                repaired = await self.once(expect=True)
            except ClusterError as error:
                log.warning("resync failed: %s", error)
                continue
            except Exception:
                # Some object of somebody's: it must not end the work for all others.
                log.exception("resync failed")
                continue
            if repaired:
                metrics.RESYNC_REPAIRS.inc(len(repaired))
                log.info("resync found changes that the watch had not told", extra={"models": len(repaired)})

    async def once(self, *, expect: bool) -> set[Key]:
        """List every kind. Returns the Models that had something to repair."""
        repaired: set[Key] = set()
        for kind in WATCHED:
            for namespace in self._scopes:
                repaired |= await self._one(kind, namespace, expect=expect)
        return repaired

    async def _one(self, kind: Kind, namespace: str | None, *, expect: bool) -> set[Key]:
        for _ in range(3):
            touched: set[Key] = set()
            listed: set[str] = set()
            version = 0
            try:
                async for objects, list_version in self._client.pages(kind, namespace):
                    version = list_version
                    for obj in objects:
                        listed.add(obj["metadata"]["uid"])
                        touched |= self._caches.listed(kind, obj, expect=expect)
            except Expired:
                continue
            return touched | self._caches.sweep(kind, namespace, listed, version)
        raise Expired(f"the list of {kind.plural} expired three times before its end")
