"""Kubernetes Events: told in passing, never in a reconcile's way."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import UTC, datetime

from topgraft.cluster import metrics
from topgraft.cluster.cache import Object
from topgraft.cluster.client import Client
from topgraft.cluster.errors import ClusterError, Conflict, Gone, Refused
from topgraft.cluster.kinds import RECORDED_EVENT
from topgraft.rollout.instructions import Event

log = logging.getLogger(__name__)

CONTROLLER = "topgraft.dev/operator"
LONGEST_NOTE = 1024
WAITING = 1000
TRIES = 3
PAUSE = 1.0
SAME_SECONDS = 600


class Recorder:
    """Posts events in the background. When it cannot keep up, events are dropped and counted."""

    def __init__(self, client: Client, instance: str) -> None:
        self._client = client
        self._instance = instance
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(WAITING)

    def record(self, event: Event) -> None:
        try:
            self._waiting.put_nowait(self._body(event, datetime.now(UTC)))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        while True:
            body = await self._waiting.get()
            try:
                await self._post(body)
            finally:
                self._waiting.task_done()

    async def flush(self, seconds: float) -> None:
        """Give what waits a last chance."""
        try:
            await asyncio.wait_for(self._waiting.join(), seconds)
        except TimeoutError:
            metrics.EVENTS_DROPPED.inc(self._waiting.qsize())

    async def _post(self, body: Object) -> None:
        for attempt in range(TRIES):
            try:
                await self._client.create(RECORDED_EVENT, body)
            except Conflict:
                return  # told before, by this process or by the one before it
            except (Refused, Gone) as error:
                log.debug("an event was refused: %s", error)
                break
            except ClusterError as error:
                log.debug("an event could not be posted: %s", error)
                await asyncio.sleep(PAUSE * 2.0**attempt)
            else:
                return
        metrics.EVENTS_DROPPED.inc()

    def _body(self, event: Event, now: datetime) -> Object:
        """The name is made from what is said and when, so that the same news twice is one Event, restarts included."""
        name, uid = event.regarding["name"], event.regarding["uid"]
        said = f"{uid}/{event.reason}/{event.message}/{int(now.timestamp()) // SAME_SECONDS}"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "namespace": event.regarding["namespace"],
                "name": f"{name[:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "action": event.reason,
            "reason": event.reason,
            "type": event.type,
            "regarding": event.regarding,
            "note": event.message if len(event.message) <= LONGEST_NOTE else event.message[: LONGEST_NOTE - 1] + "…",
        }
