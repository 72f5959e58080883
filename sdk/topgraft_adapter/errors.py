"""The errors an adapter raises or sees, and those that end the process with a reason."""

from __future__ import annotations

from typing import Any


class InvalidInputError(Exception):
    """The request does not fit the model's api. Answered with 400; `predict` may raise it too.

    `kind` and `parameters` are the type of the error and its facts in the answers of /transformJson: typeMismatch
    {expectedType, actualType}, unknownInputName {inputName}, requiredValueMissing {fieldName}, invalidTabularFormat
    {inputFieldName}, invalidArrayShape {expectedShape, actualShape}, inconsistentArrayDimensions, unsupportedType,
    invalidMapFormat. Without a kind it is unsupportedType.
    """

    def __init__(self, message: str = "", kind: str = "unsupportedType", **parameters: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.parameters = parameters


class OutputError(Exception):
    """`predict` returned something that does not fit the model's api. Answered with 500."""


class UnknownAnswerError(Exception):
    """Feedback on an answer that this server does not know. Answered with 404."""


class UnknownModelError(Exception):
    """A request for a model or version that is not served here. Answered with 404."""


class ArtifactPathError(Exception):
    """A path leads out of its directory, or to something that is not a file or directory."""


class UnavailableError(Exception):
    """The model is not loaded, or says that it is not ready. Answered with 503."""


class OverloadedError(Exception):
    """More requests or bytes at once than the server takes. Answered with 503 and Retry-After."""


class InferenceTimeoutError(Exception):
    """`predict` did not answer in time. Answered with 504, by /transformJson with 500."""


class FatalError(Exception):
    """The process cannot do its work. `reason` is one CamelCase word, `exit_code` what the process ends with."""

    def __init__(self, reason: str, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.exit_code = exit_code


def code_of(error: Exception) -> int:
    """The status code of an infer request that ended with the error; whatever an adapter raises is a 500."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 500)


_CODES: dict[type[Exception], int] = {
    InvalidInputError: 400,
    UnknownModelError: 404,
    UnavailableError: 503,
    OverloadedError: 503,
    InferenceTimeoutError: 504,
}


def told(error: Exception) -> str:
    """What the client is told of the error."""
    own = (*_CODES, OutputError)
    return str(error) if isinstance(error, own) else f"predict() raised {describe(error)}"


def describe(error: BaseException) -> str:
    """`ExceptionType: text`, at most 1,000 characters."""
    return f"{type(error).__name__}: {error}"[:1000]
