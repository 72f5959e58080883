"""Adapters on the loopback for tests: well-behaved ones, and ones with a fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def digit(number: int, version: str = "m-1") -> dict[str, Any]:
    """A V2 answer that reads one digit."""
    scores = [0.01] * 10
    scores[number] = 0.91
    outputs = [
        {"name": "digit", "datatype": "INT32", "shape": [1], "data": [number]},
        {"name": "probability", "datatype": "FP32", "shape": [1, 10], "data": scores},
    ]
    return {"model_name": "m", "model_version": version, "outputs": outputs}


def reads(rule: Callable[[int], int] = lambda number: number, version: str = "m-1") -> Handler:
    """An adapter that answers `rule(n)` to the request with the number n."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(digit(rule((await request.json())["n"]), version))

    return handle


def says(body: Any = b"", status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """An adapter that answers the same to everything."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=text, headers=headers)

    return handle


@asynccontextmanager
async def adapters(*handlers: Handler | None) -> AsyncIterator[list[str]]:
    """Serve each; yields their addresses. None is a port where nobody listens."""
    async with AsyncExitStack() as stack:
        addresses = []
        for handler in handlers:
            server = await asyncio.get_running_loop().create_server(web.Server(handler or says()), "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            addresses.append(f"{host}:{port}")
            if handler:
                stack.push_async_callback(server.wait_closed)
                stack.callback(server.close)
            else:
                server.close()
        yield addresses


@asynccontextmanager
async def raw(handle: Raw) -> AsyncIterator[str]:
    """Serve connections by hand."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The head of one request; its body is read away."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head
