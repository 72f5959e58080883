"""The routes of the Open Inference Protocol (V2, REST)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from time import monotonic
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topgraft_adapter.errors import InvalidInputError, OutputError, UnknownAnswerError, describe
from topgraft_adapter.feedback import Feedback
from topgraft_adapter.inference import metadata
from topgraft_adapter.logs import log
from topgraft_adapter.metrics import CONTENT_TYPE, Metrics
from topgraft_adapter.service import ModelService
from topgraft_adapter.version import VERSION

MAX_BODY_BYTES = 50 * 1024 * 1024

# A client that is cut off in the middle of its body mostly sees a reset, not the answer; so a body that is too large is
# read to its end and thrown away, up to this size.
_MAX_DISCARDED_BYTES = 4 * MAX_BODY_BYTES

_MAX_MESSAGE = 1000

CONNECTED_AT = "connected_at"
"""Key of the request's state: the monotonic time at which its connection was made."""


def make_app(service: ModelService) -> Starlette:
    """The application that serves one model version."""
    routes = Routes(service)
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"
    return Starlette(
        routes=[
            Route("/v2", routes.server),
            Route("/v2/health/live", routes.live),
            Route("/v2/health/ready", routes.ready),
            Route("/metrics", routes.metrics),
            Route("/feedback", routes.feedback, methods=["POST"]),
            *(Route(path, routes.model) for path in (model, version)),
            *(Route(path + "/ready", routes.model_ready) for path in (model, version)),
            *(Route(path + "/infer", routes.infer, methods=["POST"]) for path in (model, version)),
        ],
        middleware=[Middleware(ConnectionAge, service=service)],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )


class Routes:
    """The endpoints."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._metrics = Metrics(service.settings.model, service.settings.version)
        self._feedback = Feedback(service.settings.version)

    async def server(self, _request: Request) -> Response:
        """Server metadata."""
        return _answer({"name": "topgraft-adapter", "version": VERSION, "extensions": []})

    async def live(self, _request: Request) -> Response:
        """Alive as long as the event loop turns."""
        return _answer({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Ready once loaded, while the adapter says so, until the server drains."""
        ready = self._service.able() and not self._service.draining
        return _answer({"ready": ready}, 200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def feedback(self, request: Request) -> Response:
        """What the right label of an answer would have been."""
        try:
            right, wrong = self._feedback.judge(await _body(request))
        except InvalidInputError as error:
            return _error(400, str(error))
        except UnknownAnswerError as error:
            self._metrics.unknown()
            return _error(404, str(error))
        self._metrics.judged(right, wrong)
        return _answer({"right": right, "wrong": wrong})

    async def model(self, request: Request) -> Response:
        """Model metadata."""
        self._check_name(request)
        inputs, outputs = self._service.contract.api
        return _answer(
            {
                "name": self._service.settings.model,
                "versions": [self._service.settings.version],
                "platform": "topgraft-adapter",
                "inputs": metadata(inputs),
                "outputs": metadata(outputs),
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """The same as the server's readiness: there is one model."""
        self._check_name(request)
        ready = self._service.able() and not self._service.draining
        return _answer({"name": self._service.settings.model, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        """Inference. A draining server still answers: requests come until every client has seen the change."""
        started = self._service.asked_at = monotonic()
        try:
            response = await self._infer(request)
        except ClientDisconnect:
            # 499 is what proxies write for it; nobody reads the answer.
            response = Response(status_code=499)
        except HTTPException as error:
            response = _error(error.status_code, error.detail)
        seconds = monotonic() - started
        self._metrics.observe(response.status_code, seconds)
        if response.status_code >= 400:
            level = logging.WARNING if response.status_code >= 500 else logging.INFO
            log(level, "inference not answered", code=response.status_code, seconds=round(seconds, 4))
        return response

    async def _infer(self, request: Request) -> Response:
        self._check_name(request)
        body = await _body(request)
        if not self._service.able():
            return _error(503, "The model is not ready.")
        try:
            answer = await self._service.infer(body)
        except InvalidInputError as error:
            return _error(400, str(error))
        except OutputError as error:
            return _error(500, str(error))
        except Exception as error:
            log(logging.ERROR, "predict() raised", error)
            return _error(500, f"predict() raised {describe(error)}")
        self._metrics.answered(answer.labels)
        self._feedback.remember(answer.id, answer.labels)
        return _json(answer.body)

    def _check_name(self, request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version")
        settings = self._service.settings
        if name != settings.model:
            raise HTTPException(404, f"There is no model {name[:100]!r} here; this is {settings.model!r}.")
        if version not in (None, settings.version):
            raise HTTPException(404, f"There is no version {version[:100]!r} here; this is {settings.version!r}.")


class ConnectionAge:
    """Ends a connection with its next answer once it is too old, when the server drains, or when it cannot answer.

    The last lets the clients of a dead model go: their next connection reaches a pod that is ready.
    """

    def __init__(self, app: ASGIApp, service: ModelService) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        made = scope.get("state", {}).get(CONNECTED_AT)

        async def send_with_age(message: Message) -> None:
            if message["type"] == "http.response.start" and made is not None and self._ends(made, message["status"]):
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_with_age)

    def _ends(self, made: float, status: int) -> bool:
        old = monotonic() - made >= self._service.settings.max_connection_age
        return old or status == HTTPStatus.SERVICE_UNAVAILABLE or self._service.draining


async def _body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > _MAX_DISCARDED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes; send fewer rows at once.")
    return b"".join(chunks)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _error(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _internal_error(_request: Request, _error_seen: Exception) -> Response:
    return _error(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase)


def _answer(value: dict[str, Any], code: int = 200) -> Response:
    return _json(orjson.dumps(value), code)


def _error(code: int, message: str) -> Response:
    # A message may quote a client or an adapter: it may be long, and hold surrogates that JSON text cannot carry.
    return _json(orjson.dumps({"error": message[:_MAX_MESSAGE].encode(errors="replace").decode()}), code)


def _json(content: bytes, code: int = 200) -> Response:
    return Response(content, code, media_type="application/json")
