"""A gate between an operator and the API server: the operator dies right after a write, or a write waits on its way."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from aiohttp import ClientSession, web
from api.faults import FaultyApi
from kubernetes import config
from support.live import Operator

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
ASIDE = ("/leases", "/events")
"""Not part of a rollout's record."""
HELD_SECONDS = 120.0


class Gate(FaultyApi):
    """Counts the object writes that the API server took, one at a time."""

    def __init__(self) -> None:
        super().__init__(config.new_client_from_config().configuration)  # type: ignore[no-untyped-call]
        self.written: list[str] = []
        """METHOD and path of each, in order."""
        self.kill: Callable[[int], bool] = lambda number: False
        """Whether the operator dies with this many writes done, before it has the last one's answer."""
        self.hold: Callable[[web.Request], bool] = lambda request: False
        """Whether a write waits here until `let_go`."""
        self.holds = threading.Event()
        self.late = 0
        """The API server's answer to the write that was held."""
        self.killed = threading.Event()
        self._operator: Operator | None = None
        self._go = asyncio.Event()
        self._turn = asyncio.Lock()

    def operator(self, namespace: str, log: Path, *options: str, name: str) -> Operator:
        """An operator behind the gate, not started."""
        self._operator = Operator(namespace, log, *options, name=name, kubeconfig=self.kubeconfig(log.parent))
        return self._operator

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._go.set)

    async def _forward(self, session: ClientSession, request: web.Request) -> web.StreamResponse:
        if request.method not in WRITES or any(part in request.path for part in ASIDE):
            return await super()._forward(session, request)
        if self.hold(request):
            self.holds.set()
            await asyncio.wait_for(self._go.wait(), HELD_SECONDS)
            answer = await super()._forward(session, request)
            self.late = answer.status
            return answer
        async with self._turn:
            if self.killed.is_set():
                return _cut(request)
            answer = await super()._forward(session, request)
            if answer.status >= 300:
                return answer
            self.written.append(f"{request.method} {request.path}")
            if not self.kill(len(self.written)):
                return answer
            assert self._operator is not None
            os.kill(self._operator.pid, signal.SIGKILL)
            self.killed.set()
            return _cut(request)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
