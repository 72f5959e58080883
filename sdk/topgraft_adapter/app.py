"""The routes: the Open Inference Protocol (V2, REST), /transformJson, feedback and figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any

from topgraft_adapter.context import peft_adapters
from topgraft_adapter.deadlines import Deadlines
from topgraft_adapter.dialects import V2, Dialect, Envelope, error_response, json_response
from topgraft_adapter.errors import (
    InvalidInputError,
    OutputError,
    OverloadedError,
    UnknownAnswerError,
    UnknownModelError,
    code_of,
)
from topgraft_adapter.feedback import MAX_FEEDBACK_BYTES
from topgraft_adapter.inference import Answer, Target, check_name, metadata
from topgraft_adapter.logs import log
from topgraft_adapter.metrics import CONTENT_TYPE
from topgraft_adapter.openapi import document
from topgraft_adapter.service import MAX_BODY_BYTES, ModelService, log_raised
from topgraft_adapter.transform import transform
from topgraft_adapter.v2 import infer
from topgraft_adapter.version import VERSION
from topgraft_adapter.web import App, ClientGoneError, HttpError, Request, Response, route

# A client that is cut off in the middle of its body mostly sees a reset, not the answer; so a body that is too large is
# read to its end and thrown away, up to this size.
_MAX_DISCARDED_BYTES = 4 * MAX_BODY_BYTES

_BODY_SECONDS = 60.0
"""A client that sends more slowly holds a place that others need."""

_HEADER_LENGTH = "inference-header-content-length"
_MAX_DIGITS = 20

CONNECTED_AT = "connected_at"
"""Key of the request's state: the monotonic time at which its connection was made."""


def make_app(service: ModelService) -> App:
    """The application that serves one model version."""
    routes = Routes(service)
    model = "/v2/models/{name}[/versions/{version}]"
    return App(
        [
            route(model + "/infer", routes.infer, "POST"),
            route("[/liveDeployments/{name}]/transformJson", routes.transform, "POST"),
            route("/v2/health/ready", routes.ready),
            route("/v2/health/live", routes.live),
            route("/metrics", routes.metrics),
            route("/feedback", routes.feedback, "POST"),
            route("/adapters", routes.adapters),
            route("/openapi.json", routes.openapi),
            route("/v2", routes.server),
            route(model, routes.model),
            route(model + "/ready", routes.model_ready),
        ],
        _http_error,
        partial(_ends, service),
    )


def _ends(service: ModelService, scope: Mapping[str, Any], code: int) -> bool:
    """A connection ends with its answer once it is too old, when the server drains, or when it cannot answer.

    The last lets the clients of a dead model go: their next connection reaches a pod that is ready.
    """
    made = scope.get("state", {}).get(CONNECTED_AT)
    if made is None:
        return False
    old = monotonic() - made >= service.settings.max_connection_age
    return old or code == HTTPStatus.SERVICE_UNAVAILABLE or service.draining


class Routes:
    """The endpoints."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._reading: Deadlines[asyncio.Task[Any]] = Deadlines(_BODY_SECONDS, asyncio.Task.cancel)

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
            with self._service.admitted() as hold:
                right, wrong = self._service.feedback.judge(await self._body(request, hold, MAX_FEEDBACK_BYTES))
        except (InvalidInputError, OverloadedError) as error:
            return V2().failed(error)
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
                body = await self._body(request, hold)
                answer = await self._service.answer(work(request, body))
            response, code = _sent(answer), 200
        except ClientGoneError:
            code = 499
            response = Response(b"", code)
        except HttpError as error:
            code = error.code
            response = dialect.refused(code, str(error))
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

    async def _body(self, request: Request, hold: Callable[[int], None], most: int = MAX_BODY_BYTES) -> bytes:
        encoding = request.header(b"content-encoding")
        if encoding not in (None, "identity"):
            raise HttpError(415, f"Content-Encoding {encoding[:40]!r} is not taken: send the body as it is.")
        task = asyncio.current_task()
        assert task is not None
        self._reading.begin(task)
        try:
            return await _pieces(request, hold, most)
        except asyncio.CancelledError:
            if self._reading.done(task) or task.uncancel() > 0:
                raise  # it is not the body that is late
            raise HttpError(408, f"The body did not come within {_BODY_SECONDS:g} seconds.") from None
        finally:
            self._reading.done(task)

    def _check_name(self, request: Request) -> None:
        settings = self._service.settings
        name, version = request.names.get("name") or settings.model, request.names.get("version") or ""
        try:
            check_name(settings.model, settings.version, name, version)
        except UnknownModelError as error:
            raise HttpError(404, str(error)) from error


Work = Callable[[Request, bytes], Callable[[Target], Answer]]


def _infer_work(request: Request, body: bytes) -> Callable[[Target], Answer]:
    return partial(infer, body=body, header_length=_header_length(request, body))


def _transform_work(_request: Request, body: bytes) -> Callable[[Target], Answer]:
    return partial(transform, body=body)


def _header_length(request: Request, body: bytes) -> int | None:
    said = request.header(_HEADER_LENGTH.encode())
    if said is None:
        return None
    # No longer than a length can be: Python refuses to read a number of more than 4,300 digits.
    if len(said) > _MAX_DIGITS or not said.isascii() or not said.isdigit() or not 0 < int(said) <= len(body):
        raise HttpError(400, f"{_HEADER_LENGTH.title()} must be the length of the JSON at the start of the body.")
    return int(said)


def _sent(answer: Answer) -> Response:
    if answer.header_length is None:
        return Response(answer.body)
    headers = {_HEADER_LENGTH: str(answer.header_length)}
    return Response(answer.body, 200, "application/octet-stream", headers)


async def _pieces(request: Request, hold: Callable[[int], None], most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    no_room: OverloadedError | None = None
    more = True
    while more and size <= _MAX_DISCARDED_BYTES:
        piece, more = await request.piece()
        size += len(piece)
        try:
            if size <= most and no_room is None:
                hold(len(piece))
                pieces.append(piece)
            else:
                pieces.clear()
        except OverloadedError as error:
            no_room = error
    if no_room is not None:
        raise no_room
    if size > most:
        raise HttpError(413, f"The body is larger than {most} bytes; send fewer rows at once.")
    return b"".join(pieces)


def _http_error(error: HttpError) -> Response:
    return error_response(error.code, str(error), error.headers)
