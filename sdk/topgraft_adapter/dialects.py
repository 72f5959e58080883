"""How each family of routes says that something went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from topgraft_adapter import transform
from topgraft_adapter.errors import (
    InferenceTimeoutError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
    code_of,
    told,
)
from topgraft_adapter.web import Response

_MAX_MESSAGE = 1000
_RETRY_SECONDS = "1"


class Dialect(Protocol):
    """Errors as answers."""

    def refused(self, code: int, message: str) -> Response:
        """The request was not even tried."""

    def failed(self, error: Exception) -> Response:
        """The request was tried, and ended with an error."""


class V2:
    """The Open Inference Protocol: {"error": text}."""

    def refused(self, code: int, message: str) -> Response:
        """The code with its text."""
        return error_response(code, message)

    def failed(self, error: Exception) -> Response:
        """400, 500, 503 or 504 with its text."""
        code = code_of(error)
        return error_response(code, told(error), _headers(error))


class Envelope:
    """/transformJson: {errorCode, errorName, errorInstanceId, parameters}."""

    def refused(self, code: int, message: str) -> Response:
        """The code, its usual name and its text."""
        name = {404: "LiveDeploymentNotFound", 413: "RequestEntityTooLarge"}.get(code, "InvalidRequest")
        return json_response(transform.envelope(code, name, errorMessage=message[:_MAX_MESSAGE]), code)

    def failed(self, error: Exception) -> Response:
        """InferenceInvalidInput, InferenceFailure, InferenceTimeout or InferenceUnavailable."""
        match error:
            case InvalidInputError():
                return json_response(transform.invalid_input(error), 400)
            case InferenceTimeoutError():
                return json_response(transform.envelope(500, "InferenceTimeout", errorMessage=str(error)), 500)
            case UnavailableError() | OverloadedError():
                said = transform.envelope(503, "InferenceUnavailable", errorMessage=str(error))
                return json_response(said, 503, _headers(error))
        return json_response(transform.failure(told(error)), 400)


def json_response(value: Mapping[str, Any], code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of JSON. A message may quote a client or an adapter, with surrogates that JSON text cannot carry."""
    try:
        content = orjson.dumps(value)
    except orjson.JSONEncodeError:
        content = orjson.dumps(_carried(value))
    return Response(content, code, headers=headers)


def error_response(code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """{"error": text}, the text cut."""
    return json_response({"error": message[:_MAX_MESSAGE]}, code, headers)


def _headers(error: Exception) -> dict[str, str]:
    return {"retry-after": _RETRY_SECONDS} if isinstance(error, (OverloadedError, UnavailableError)) else {}


def _carried(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_carried(key): _carried(one) for key, one in value.items()}
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return [_carried(one) for one in value] if isinstance(value, list) else value
