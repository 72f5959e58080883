"""`topgraft-adapter serve`: the web server, its start, its drain and its end."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import sys
import threading
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from topgraft_adapter.app import CONNECTED_AT, make_app
from topgraft_adapter.contract import find_contract
from topgraft_adapter.errors import FatalError
from topgraft_adapter.logs import log
from topgraft_adapter.service import ModelService
from topgraft_adapter.settings import GRPC_VARIABLE, MAX_DRAIN_SECONDS, read_settings

if TYPE_CHECKING:
    from topgraft_adapter.grpcserver import GrpcServer

# Longer than the idle time of the usual clients' connection pools: it is then the client that closes an idle
# connection, and no request meets a connection that the server closes in the same moment.
_IDLE_SECONDS = 75

# After the listener has closed, a connection that was accepted at the last moment still gets to send its request.
_LAST_CALL_SECONDS = 0.3

# Above it, copying the body behind its head costs more than sending twice.
_ONE_PIECE_BYTES = 64 * 1024

# From the signal to the end, running requests included: inside Kubernetes' 30 s.
_END_SECONDS = 25


class AgedProtocol(H11Protocol):
    """Tells each request when its connection was made, and sends each answer in one piece."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app_state = {**self.app_state, CONNECTED_AT: monotonic()}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(cast(asyncio.Transport, OnePiece(transport)))


class OnePiece:
    """A transport that keeps the head of an answer until its body comes, which is at once: every answer has one.

    So both leave by one call of the kernel, as one packet that wakes the client once.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send, or keep a head; one of `100 Continue` has no body."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        elif len(data) <= _ONE_PIECE_BYTES:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        """Close after what was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        self._transport.write(self._head)
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)


class AdapterServer(uvicorn.Server):
    """Serves while loading; after SIGTERM it goes on accepting until the cluster has stopped sending requests."""

    def __init__(self, service: ModelService, host: str | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(service),
                http=AgedProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
            )
        )
        self.fatal: FatalError | None = None
        self._service = service
        self._loaded = False
        self._drain_began = 0.0
        self._host = host
        self._grpc: GrpcServer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen first, then load: until load() has ended the health endpoints already answer."""
        await super().startup(sockets)
        try:
            await self._start_grpc()
        except FatalError as error:
            self.fatal = error
            self.should_exit = True
            return
        # A daemon, because a load() that hangs must not outlive SIGTERM.
        threading.Thread(target=self._load, name="load", daemon=True).start()

    async def _start_grpc(self) -> None:
        port = self._service.settings.grpc_port
        if port is None:
            return
        try:
            from topgraft_adapter.grpcserver import GrpcServer  # noqa: PLC0415 - an extra, and slow to import
        except ModuleNotFoundError as error:
            message = (
                f"{GRPC_VARIABLE} is set and {error.name} is missing: install topgraft-adapter[grpc] in the image."
            )
            raise FatalError("SettingInvalid", message, exit_code=2) from error
        self._grpc = GrpcServer(self._service)
        await self._grpc.start(self._host, port)

    def _load(self) -> None:
        try:
            self._service.load()
            self._loaded = True
            # Here, so that the first to ask for figures does not keep the event loop waiting for it.
            importlib.import_module("prometheus_client")
        except FatalError as error:
            self.fatal = error
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain; a second signal, or one before the model has loaded, ends it at once."""
        if self._service.draining or not self._loaded:
            self.should_exit = True
        if not self._service.draining:
            self._drain_began = monotonic()
        self._service.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the accepting of connections."""
        return await super().on_tick(counter) or (self._service.draining and self._drained(monotonic()))

    def _drained(self, now: float) -> bool:
        """Whether no request has come for the drain's time: a busy cluster may be slow to stop sending."""
        quiet = now - max(self._drain_began, self._service.asked_at)
        return quiet >= self._service.settings.drain or now - self._drain_began >= MAX_DRAIN_SECONDS

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let the last requests come and end, close what is idle."""
        log(logging.INFO, "closing", running=self._service.running)
        if self._loaded:
            for server in self.servers:
                server.close()
            await asyncio.sleep(_LAST_CALL_SECONDS)
        began = self._drain_began or monotonic()
        left = max(1, round(_END_SECONDS - (monotonic() - began)))
        self.config.timeout_graceful_shutdown = left
        await asyncio.gather(super().shutdown(sockets), *([self._grpc.stop(left)] if self._grpc else []))


def serve(host: str | None) -> int:
    """Run the server until SIGTERM or SIGINT; returns the exit code. Raises FatalError.

    Without a host it listens on every address, IPv4 and IPv6.
    """
    settings = read_settings()
    service = ModelService(find_contract(), settings)
    listener = _listen(host, settings.port)
    log(logging.INFO, "listening", port=settings.port, model=settings.model, version=settings.version)
    server = AdapterServer(service, host)
    asyncio.run(server.serve([listener]))
    if server.fatal:
        raise server.fatal
    if service.running:
        # Worker threads cannot be ended, and Python would wait for them for ever.
        log(logging.ERROR, "predict() did not return in time", running=service.running)
        sys.stderr.flush()
        os._exit(1)
    log(logging.INFO, "ended")
    return 0


def _listen(host: str | None, port: int) -> socket.socket:
    dual = host is None and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in (host or "") else socket.AF_INET
    try:
        listener = socket.create_server((host or "", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        message = f"TOPGRAFT_PORT={port}: cannot listen on {host or 'any address'}: {error.strerror}."
        raise FatalError("PortUnavailable", message, exit_code=2) from error
    # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, which these do not; and
    # without it every answer on a kept-alive connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
