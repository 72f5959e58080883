"""`POST /transformJson`: {"input": {name: value}} → {"output": {name: value}}, errors in an envelope of their own."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import orjson

from topgraft_adapter import arguments
from topgraft_adapter.errors import InvalidInputError, OutputError
from topgraft_adapter.inference import Answer, Target, call
from topgraft_adapter.reading import read_json
from topgraft_adapter.results import as_json

_MAX_MESSAGE = 1000


def transform(target: Target, body: bytes) -> Answer:
    """Answer the body of a /transformJson request.

    Raises InvalidInputError, OutputError, or whatever the adapter raises.
    """
    request = read_json(body)
    if not isinstance(request, dict) or "input" not in request:
        raise InvalidInputError(
            "The body must be a JSON object with `input`.", "requiredValueMissing", fieldName="input"
        )
    identity = request.get("id", "")
    if not isinstance(identity, str):
        raise InvalidInputError("`id` must be a string.", "typeMismatch", expectedType="string", actualType="other")
    found, labels = call(target, partial(_arguments, request["input"]))
    _, outputs = target.api
    answer: dict[str, Any] = {"output": as_json(outputs, found)}
    if identity:
        answer["id"] = identity
    try:
        return Answer(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), identity, labels)
    except orjson.JSONEncodeError as error:
        raise OutputError(f"predict() returned what JSON cannot carry: {error}") from error


def _arguments(given: Any, inputs: Any, stack: Any) -> dict[str, Any]:
    return arguments.from_json(inputs, given, stack)


_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "REQUEST_ENTITY_TOO_LARGE",
    415: "INVALID_ARGUMENT",
    503: "INTERNAL",
}


def envelope(code: int, name: str, **parameters: Any) -> dict[str, Any]:
    """{errorCode, errorName, errorInstanceId, parameters}; the instance id tells one error from another in logs."""
    return {
        "errorCode": _CODES.get(code, "INTERNAL"),
        "errorName": name,
        "errorInstanceId": str(uuid.uuid4()),
        "parameters": parameters,
    }


def invalid_input(error: InvalidInputError) -> dict[str, Any]:
    """InferenceInvalidInput with its errorType."""
    kind = {"type": error.kind, **error.parameters}
    return envelope(400, "InferenceInvalidInput", errorType=kind, errorMessage=str(error)[:_MAX_MESSAGE])


def failure(message: str) -> dict[str, Any]:
    """InferenceFailure: the model's fault, and still answered with 400 as the origin of this route does."""
    return envelope(400, "InferenceFailure", errorMessage=message[:_MAX_MESSAGE])
