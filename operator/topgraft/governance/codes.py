"""Status codes of versions and refusals, with the numbers and names of the Clarifai API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One status code."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


TRAINED = Code(21100, "MODEL_TRAINED")
TRAINING = Code(21101, "MODEL_TRAINING")
UNTRAINED = Code(21102, "MODEL_UNTRAINED")
QUEUED = Code(21103, "MODEL_QUEUED_FOR_TRAINING")
FAILED = Code(21106, "MODEL_TRAINING_FAILED")
TIMED_OUT = Code(21113, "MODEL_TRAINING_TIMED_OUT")
REQUIRE_TRAINED = Code(22002, "WORKFLOW_REQUIRE_TRAINED_MODEL")

UNDER_WAY = (QUEUED.number, TRAINING.number)
ENDED_BADLY = (FAILED.number, TIMED_OUT.number)
