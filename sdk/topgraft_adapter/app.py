"""The routes: the Open Inference Protocol (V2, REST), /transformJson, feedback and figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from time import monotonic

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topgraft_adapter.context import peft_adapters
from topgraft_adapter.dialects import V2, Dialect, Envelope, error_response, json_response
from topgraft_adapter.errors import InvalidInputError, OutputError, OverloadedError, UnknownAnswerError, code_of
from topgraft_adapter.inference import Answer, Target, metadata
from topgraft_adapter.logs import log
from topgraft_adapter.metrics import CONTENT_TYPE
from topgraft_adapter.openapi import document
from topgraft_adapter.service import MAX_BODY_BYTES, ModelService, log_raised
from topgraft_adapter.transform import transform
from topgraft_adapter.v2 import infer
from topgraft_adapter.version import VERSION

# A client that is cut off in the middle of its body mostly sees a reset, not the answer; so a body that is too large is
# read to its end and thrown away, up to this size.
_MAX_DISCARDED_BYTES = 4 * MAX_BODY_BYTES

_BODY_SECONDS = 60.0
"""A client that sends more slowly holds a place that others need."""

_HEADER_LENGTH = "Inference-Header-Content-Length"

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
            Route("/openapi.json", routes.openapi),
            Route("/adapters", routes.adapters),
            Route("/feedback", routes.feedback, methods=["POST"]),
            Route("/transformJson", routes.transform, methods=["POST"]),
            Route("/liveDeployments/{name}/transformJson", routes.transform, methods=["POST"]),
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

    async def server(self, _request: Request) -> Response:
        """Server metadata."""
        return json_response({"name": "topgraft-adapter", "version": VERSION, "extensions": ["binary_tensor_data"]})

    async def live(self, _request: Request) -> Response:
        """Alive as long as the event loop turns."""
        return json_response({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Ready once loaded, while the adapter says so, until the server drains."""
        ready = self._service.able() and not self._service.draining
        return json_response({"ready": ready}, 200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        return Response(self._service.metrics.text(), media_type=CONTENT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        """All of this in OpenAPI."""
        settings = self._service.settings
        return json_response(document(self._service.contract.api, settings.model, settings.version))

    async def adapters(self, _request: Request) -> Response:
        """The PEFT adapters of this version, as the version declares them."""
        return json_response({"adapters": [dict(one) for one in peft_adapters()]})

    async def feedback(self, request: Request) -> Response:
        """What the right label of an answer would have been."""
        metrics = self._service.metrics
        try:
            right, wrong = self._service.feedback.judge(await _body(request, lambda _: None))
        except InvalidInputError as error:
            return error_response(400, str(error))
        except UnknownAnswerError as error:
            metrics.unknown()
            return error_response(404, str(error))
        metrics.judged(right, wrong)
        return json_response({"right": right, "wrong": wrong})

    async def model(self, request: Request) -> Response:
        """Model metadata."""
        self._check_name(request)
        inputs, outputs = self._service.contract.api
        return json_response(
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
        return json_response({"name": self._service.settings.model, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        """Inference. A draining server still answers: requests come until every client has seen the change."""
        return await self._answered(request, _infer_work, V2())

    async def transform(self, request: Request) -> Response:
        """Inference in plain JSON values."""
        return await self._answered(request, _transform_work, Envelope())

    async def _answered(self, request: Request, work: Work, dialect: Dialect) -> Response:
        started = self._service.asked_at = monotonic()
        try:
            self._check_name(request)
            with self._service.admitted() as hold:
                body = await _body(request, hold)
                answer = await self._service.answer(work(request, body))
            response, code = _sent(answer), 200
        except ClientDisconnect:
            # 499 is what proxies write for it; nobody reads the answer.
            response, code = Response(status_code=499), 499
        except HTTPException as error:
            response, code = dialect.refused(error.status_code, error.detail), error.status_code
        except Exception as error:
            code = code_of(error)
            if code == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, OutputError):
                log_raised(error)
            response = dialect.failed(error)
        seconds = monotonic() - started
        self._service.metrics.observe(code, seconds)
        if code >= 400:
            level = logging.WARNING if code >= 500 else logging.INFO
            log(level, "inference not answered", code=code, seconds=round(seconds, 4))
        return response

    def _check_name(self, request: Request) -> None:
        settings = self._service.settings
        name = request.path_params.get("name", settings.model)
        version = request.path_params.get("version")
        if name != settings.model:
            raise HTTPException(404, f"There is no model {name[:100]!r} here; this is {settings.model!r}.")
        if version not in (None, settings.version):
            raise HTTPException(404, f"There is no version {version[:100]!r} here; this is {settings.version!r}.")


Work = Callable[[Request, bytes], Callable[[Target], Answer]]


def _infer_work(request: Request, body: bytes) -> Callable[[Target], Answer]:
    return partial(infer, body=body, header_length=_header_length(request, body))


def _transform_work(_request: Request, body: bytes) -> Callable[[Target], Answer]:
    return partial(transform, body=body)


def _header_length(request: Request, body: bytes) -> int | None:
    said = request.headers.get(_HEADER_LENGTH)
    if said is None:
        return None
    if not said.isascii() or not said.isdigit() or not 0 < int(said[:20]) <= len(body):
        raise HTTPException(400, f"{_HEADER_LENGTH} must be the length of the JSON at the start of the body.")
    return int(said)


def _sent(answer: Answer) -> Response:
    if answer.header_length is None:
        return Response(answer.body, media_type="application/json")
    headers = {_HEADER_LENGTH: str(answer.header_length)}
    return Response(answer.body, 200, headers, "application/octet-stream")


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


async def _body(request: Request, hold: Callable[[int], None]) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise HTTPException(415, f"Content-Encoding {encoding[:40]!r} is not taken: send the body as it is.")
    chunks: list[bytes] = []
    size = 0
    no_room: OverloadedError | None = None
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                try:
                    if size <= MAX_BODY_BYTES and no_room is None:
                        hold(len(chunk))
                        chunks.append(chunk)
                    else:
                        chunks.clear()
                except OverloadedError as error:
                    no_room = error
                if size > _MAX_DISCARDED_BYTES:
                    break
    except TimeoutError:
        raise HTTPException(408, f"The body did not come within {_BODY_SECONDS:g} seconds.") from None
    if no_room is not None:
        raise no_room
    if size > MAX_BODY_BYTES:
        raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes; send fewer rows at once.")
    return b"".join(chunks)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


async def _internal_error(_request: Request, _error_seen: Exception) -> Response:
    return error_response(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase)
