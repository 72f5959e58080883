"""What became of a prediction head: the record that the operator shows as ModelVersion.status.headConversion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_MESSAGE = 700


class Result(StrEnum):
    """How it ended. All but the last two serve the artifact's own head."""

    NOT_NEEDED = "NotNeeded"
    """The artifact has a flex head, or a mode of Off serves its static class."""
    CONVERTED = "Converted"
    """The static head became a flex head; the static class gives the same logits."""
    REPAIRED = "Repaired"
    """The same, after the decoder's bias, which the library leaves behind, was put back."""
    UNSUPPORTED = "Unsupported"
    """The library has no way from this head to a flex head, and says so, or drops the head without a word."""
    INCOMPLETE = "Incomplete"
    """The library gave a model whose head is not, or not wholly, the artifact's."""


@dataclass(frozen=True)
class HeadConversion:
    """`found` and `made` are class names; `max_abs_diff` is over the golden logits, None when none were compared."""

    found: str
    made: str
    result: Result
    head_name: str | None = None
    head_type: str | None = None
    max_abs_diff: float | None = None
    message: str | None = None

    def wire(self) -> dict[str, Any]:
        """JSON-ready, as the operator reads it. The difference is text: Kubernetes' objects hold no fractions."""
        difference = None if self.max_abs_diff is None else f"{self.max_abs_diff:.3g}"
        said = {
            "from": self.found,
            "to": self.made,
            "headName": self.head_name,
            "headType": self.head_type,
            "maxAbsDiff": difference,
            "result": self.result.value,
            "message": self.message and self.message[:MAX_MESSAGE],
        }
        return {name: value for name, value in said.items() if value is not None}


class HeadError(ValueError):
    """No model that may serve came of it; `record` says what did."""

    def __init__(self, record: HeadConversion) -> None:
        super().__init__(record.message or record.result.value)
        self.record = record


class HeadUnsupported(HeadError):
    """There is no flex head for it. The message is the library's, where it has one."""


class HeadConversionIncomplete(HeadError):
    """The library would have served another head than the artifact's, and said nothing."""
