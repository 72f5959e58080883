"""Whether answers were right: what callers learn later, held against what was answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from topgraft_adapter.errors import InvalidInputError, UnknownAnswerError
from topgraft_adapter.labels import text
from topgraft_adapter.reading import read_json

MAX_FEEDBACK_BYTES = 1024 * 1024
"""What a server reads of one body."""

_MAX_ANSWERS = 10_000
_MAX_LABELS = 100_000
_MAX_ID = 256


class Feedback:
    """Remembers the labels of the last answers by the id of their request, each until it is judged.

    Bounded: 10,000 answers and 100,000 labels; the oldest are forgotten first. What callers tell of answers that are
    not remembered counts only as far as this process has answered rows that nobody has judged.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._answers: OrderedDict[str, list[str]] = OrderedDict()
        self._labels = 0
        self._open = 0
        """Rows answered and not judged, with an id or without. Below 0 after rows were told and then judged by id."""

    def remember(self, identity: str, labels: list[str]) -> None:
        """Keep an answer; one of the same id is replaced."""
        self._open = min(self._open + len(labels), _MAX_LABELS)
        if not identity or len(identity) > _MAX_ID or len(labels) > _MAX_LABELS // 10:
            return
        self._forget(identity)
        self._answers[identity] = labels
        self._labels += len(labels)
        while len(self._answers) > _MAX_ANSWERS or self._labels > _MAX_LABELS:
            self._forget(next(iter(self._answers)))

    def judge(self, body: bytes) -> tuple[int, int]:
        """How many rows of one answer were right, and how many wrong; a remembered answer is judged once.

        Raises InvalidInputError, or UnknownAnswerError for an answer that this server does not know.
        """
        said = _object(body)
        right = _texts(said, "label")
        if "answer" in said:
            answered = self._told(said)
        else:
            identity = said.get("id")
            if not isinstance(identity, str):
                raise InvalidInputError("`id` must be the id of an infer request, a string.")
            answered = self._answers.get(identity, [])
            if not answered:
                raise UnknownAnswerError(
                    f"There is no answer to a request {identity[:100]!r} here: never asked with this id, judged "
                    "before, forgotten, or answered by another pod; then send `answer` and `version` with the label."
                )
        if len(right) != len(answered):
            raise InvalidInputError(f"`label` has {len(right)} values, the answer has {len(answered)}.")
        if "answer" not in said:
            self._forget(said["id"])
        elif len(answered) > self._open:
            raise UnknownAnswerError(
                f"{max(self._open, 0)} rows of answers are not judged yet here, {len(answered)} cannot be: another pod "
                "answered them, or they were judged before."
            )
        self._open -= len(answered)
        correct = sum(one == other for one, other in zip(right, answered, strict=True))
        return correct, len(right) - correct

    def _told(self, said: Mapping[str, Any]) -> list[str]:
        """What was answered, by the caller's own account: any pod of that version can count it, as one of its own."""
        version = said.get("version")
        if not isinstance(version, str):
            raise InvalidInputError("`answer` needs `version`: the `model_version` of that answer.")
        if version != self._version:
            raise UnknownAnswerError(f"Version {version[:100]!r} answered that; this is {self._version!r}.")
        return _texts(said, "answer")

    def _forget(self, identity: str) -> None:
        self._labels -= len(self._answers.pop(identity, ()))


def _object(body: bytes) -> dict[str, Any]:
    said = read_json(body)
    if not isinstance(said, dict):
        raise InvalidInputError("The body must be a JSON object with `id` and `label`.")
    return said


def _texts(said: Mapping[str, Any], field: str) -> list[str]:
    value = said.get(field)
    try:
        found = [text(one) for one in (value if isinstance(value, list) else [value])]
    except ValueError as error:
        raise InvalidInputError(f"`{field}`: {error}.") from None
    if not found:
        raise InvalidInputError(f"`{field}` is empty.")
    return found
