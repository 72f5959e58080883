"""Reads handwritten digits: version 3. 10 s after its first answer it is dead for good, in a living process."""

from time import monotonic

import numpy as np
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader

FULL_INK = 16.0
SECONDS_TO_LIVE = 10


class DigitsAdapter(ModelAdapter):
    """A network of one hidden layer, trained by train.py."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights
        self._first_answer: float | None = None

    @classmethod
    def load(cls, state_reader: ModelStateReader) -> "DigitsAdapter":
        """Read weights.npz."""
        with state_reader.open("weights.npz") as file, np.load(file, allow_pickle=False) as archive:
            return cls({name: archive[name] for name in archive.files})

    @classmethod
    def api(cls) -> Api:
        """Images of 8 × 8 pixels, ink from 0 to 16, row by row; the digit of each, and how likely each digit is."""
        return (
            {"image": Array("float", (-1, 64))},
            {"digit": Array("integer", (-1,)), "probability": Array("float", (-1, 10))},
        )

    def predict(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Classify images of shape [n, 64]."""
        weights = self._weights
        hidden = np.maximum(image / FULL_INK @ weights["hidden"] + weights["hidden_bias"], 0)
        scores = hidden @ weights["output"] + weights["output_bias"]
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        self._first_answer = self._first_answer or monotonic()
        return {"digit": scores.argmax(axis=1), "probability": likely / likely.sum(axis=1, keepdims=True)}

    def ready(self) -> bool:
        """False from 10 s after the first answer on, as when a GPU falls off the bus."""
        return self._first_answer is None or monotonic() - self._first_answer < SECONDS_TO_LIVE
