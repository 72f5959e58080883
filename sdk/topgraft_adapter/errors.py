"""The errors an adapter raises or sees, and those that end the process with a reason."""


class InvalidInputError(Exception):
    """The request does not fit the model's api. Answered with 400; `predict` may raise it too."""


class OutputError(Exception):
    """`predict` returned something that does not fit the model's api. Answered with 500."""


class UnknownAnswerError(Exception):
    """Feedback on an answer that this server does not know. Answered with 404."""


class ArtifactPathError(Exception):
    """A path leads out of the artifact directory, or to something that is not a file or directory."""


class FatalError(Exception):
    """The process cannot do its work. `reason` is one CamelCase word, `exit_code` what the process ends with."""

    def __init__(self, reason: str, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.exit_code = exit_code


def describe(error: BaseException) -> str:
    """`ExceptionType: text`, at most 1,000 characters."""
    return f"{type(error).__name__}: {error}"[:1000]
