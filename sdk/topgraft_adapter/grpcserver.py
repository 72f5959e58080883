"""The Open Inference Protocol over gRPC, beside the web server in the same event loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import grpc
from grpc import StatusCode

from topgraft_adapter.errors import (
    FatalError,
    InferenceTimeoutError,
    InvalidInputError,
    OutputError,
    OverloadedError,
    UnavailableError,
    UnknownModelError,
    code_of,
    told,
)
from topgraft_adapter.inference import check_name, metadata
from topgraft_adapter.logs import log
from topgraft_adapter.open_inference import CLASSES, SERVICE
from topgraft_adapter.service import MAX_BODY_BYTES, ModelService, log_raised
from topgraft_adapter.v2grpc import infer
from topgraft_adapter.version import VERSION

_CODES: dict[type[Exception], StatusCode] = {
    InvalidInputError: StatusCode.INVALID_ARGUMENT,
    UnknownModelError: StatusCode.NOT_FOUND,
    UnavailableError: StatusCode.UNAVAILABLE,
    OverloadedError: StatusCode.RESOURCE_EXHAUSTED,
    InferenceTimeoutError: StatusCode.DEADLINE_EXCEEDED,
}

_MAX_MESSAGE = 1000

_OTHER_CALLS = 16
"""Calls beside the inferences that may run at once: a full server still says that it is ready."""

Context = Any


class GrpcServer:
    """Answers the six calls of GRPCInferenceService."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        most = service.settings.max_concurrency + _OTHER_CALLS
        age = round(service.settings.max_connection_age * 1000)
        self._server = grpc.aio.server(
            # Of one call more nothing is read: what waits for a place holds up to 50 MiB.
            maximum_concurrent_rpcs=most,
            options=[
                ("grpc.max_receive_message_length", MAX_BODY_BYTES),
                ("grpc.max_concurrent_streams", most),
                ("grpc.max_send_message_length", -1),
                # As the web server's: every client soon reaches the pods that the Service selects now.
                ("grpc.max_connection_age_ms", max(1, age)),
                ("grpc.so_reuseport", 0),
            ],
        )
        calls: dict[str, Callable[[Any, Context], Awaitable[Any]]] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call,
                # An inference's bytes are counted before they are parsed, by the thread that answers it.
                request_deserializer=None if name == "ModelInfer" else CLASSES[f"{name}Request"].FromString,
                response_serializer=CLASSES[f"{name}Response"].SerializeToString,
            )
            for name, call in calls.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self, host: str | None, port: int) -> None:
        """Listen. Raises FatalError: PortUnavailable."""
        address = f"[{host or '::'}]:{port}" if host is None or ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(address)
            await self._server.start()
        except RuntimeError as error:
            message = f"TOPGRAFT_GRPC_PORT={port}: cannot listen on {host or 'any address'}."
            raise FatalError("PortUnavailable", message, exit_code=2) from error

    async def stop(self, grace: float) -> None:
        """Take no new request, and give running ones `grace` seconds."""
        await self._server.stop(grace)

    async def server_live(self, _request: Any, _context: Context) -> Any:
        """Alive as long as the event loop turns."""
        return CLASSES["ServerLiveResponse"](live=True)

    async def server_ready(self, _request: Any, _context: Context) -> Any:
        """Ready once loaded, while the adapter says so, until the server drains."""
        return CLASSES["ServerReadyResponse"](ready=self._ready())

    async def model_ready(self, request: Any, context: Context) -> Any:
        """The same as the server's readiness: there is one model."""
        await self._check_name(request.name, request.version, context)
        return CLASSES["ModelReadyResponse"](ready=self._ready())

    async def server_metadata(self, _request: Any, _context: Context) -> Any:
        """Name and version of this library."""
        return CLASSES["ServerMetadataResponse"](name="topgraft-adapter", version=VERSION)

    async def model_metadata(self, request: Any, context: Context) -> Any:
        """The model's tensors."""
        await self._check_name(request.name, request.version, context)
        settings, (inputs, outputs) = self._service.settings, self._service.contract.api
        return CLASSES["ModelMetadataResponse"](
            name=settings.model,
            versions=[settings.version],
            platform="topgraft-adapter",
            inputs=metadata(inputs),
            outputs=metadata(outputs),
        )

    async def model_infer(self, body: bytes, context: Context) -> Any:
        """Inference."""
        started = self._service.asked_at = monotonic()
        code, answer, failed = 200, None, None
        try:
            with self._service.admitted() as hold:
                hold(len(body))
                answer = await self._service.answer(partial(infer, body=body))
        except Exception as error:
            code, failed = code_of(error), error
            if code == 500 and not isinstance(error, OutputError):
                log_raised(error)
        seconds = monotonic() - started
        self._service.metrics.observe(code, seconds)
        if failed is not None:
            log(logging.WARNING if code >= 500 else logging.INFO, "inference not answered", code=code, grpc=True)
            status = next((s for kind, s in _CODES.items() if isinstance(failed, kind)), StatusCode.INTERNAL)
            await context.abort(status, told(failed)[:_MAX_MESSAGE].encode(errors="replace").decode())
        assert answer is not None
        return answer.body

    def _ready(self) -> bool:
        return self._service.able() and not self._service.draining

    async def _check_name(self, name: str, version: str, context: Context) -> None:
        settings = self._service.settings
        try:
            check_name(settings.model, settings.version, name, version)
        except UnknownModelError as error:
            await context.abort(StatusCode.NOT_FOUND, str(error))
