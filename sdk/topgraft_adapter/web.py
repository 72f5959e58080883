"""What the routes need of HTTP, on plain ASGI: requests, responses, and which route a path leads to.

A dozen fixed routes need no framework: one costs more than all else here, at the start and at each request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from topgraft_adapter.logs import log

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HttpError(Exception):
    """A request that no route answers: a status code with its text."""

    def __init__(self, code: int, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message or HTTPStatus(code).phrase)
        self.code = code
        self.headers = headers


class ClientGoneError(Exception):
    """The client closed the connection before its request had come."""


class Response(NamedTuple):
    """A whole answer."""

    content: bytes
    code: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    """Further headers, their names in small letters."""


class Request:
    """One request; its body is read piece by piece."""

    __slots__ = ("_receive", "names", "scope")

    def __init__(self, scope: Mapping[str, Any], receive: Receive) -> None:
        self.scope = scope
        self.names: Mapping[str, str | None] = {}
        """The parts of the path that the route names."""
        self._receive = receive

    def header(self, name: bytes) -> str | None:
        """The first header of this name, which is given in small letters."""
        for key, value in self.scope["headers"]:
            if key == name:
                text: str = value.decode("latin-1")
                return text
        return None

    async def piece(self) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether more follow. Raises ClientGoneError."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message.get("body", b""), message.get("more_body", False)


Endpoint = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    """An endpoint for the paths that a pattern matches; GET answers HEAD, too."""

    pattern: re.Pattern[str]
    endpoint: Endpoint
    methods: tuple[str, ...]


def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
    """`{name}` in the path stands for one part of it, `[...]` for what may be left out."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.replace("[", "(?:").replace("]", ")?"))
    return Route(re.compile(f"{pattern}/?"), endpoint, ("GET", "HEAD") if method == "GET" else (method,))


class App:
    """An ASGI application of these routes; the first that matches answers, so the busiest stands first.

    `refused` words what no endpoint has caught. `ends` says of an answer's code whether the connection ends with it.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        refused: Callable[[HttpError], Response],
        ends: Callable[[Mapping[str, Any], int], bool],
    ) -> None:
        self._routes = routes
        self._refused = refused
        self._ends = ends

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request."""
        content, code, media_type, more = await self._answer(Request(scope, receive))
        headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", media_type.encode("latin-1")),
        ]
        if more:
            headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in more.items()]
        if self._ends(scope, code):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._endpoint(request)(request)
        except ClientGoneError:
            # 499 is what proxies write for it; nobody reads the answer.
            return Response(b"", 499)
        except HttpError as error:
            return self._refused(error)
        except Exception as error:
            log(logging.ERROR, "the server failed", error)
            return self._refused(HttpError(500))

    def _endpoint(self, request: Request) -> Endpoint:
        allowed: list[str] = []
        for pattern, endpoint, methods in self._routes:
            match = pattern.fullmatch(request.scope["path"])
            if match and request.scope["method"] in methods:
                request.names = match.groupdict()
                return endpoint
            if match:
                allowed += methods
        if allowed:
            raise HttpError(405, headers={"allow": ", ".join(allowed)})
        raise HttpError(404)
