"""Reads handwritten digits: version 6, which has the flaw that FLAW names: slow, errors, labels; none without it."""

import os
import time
from itertools import count

import numpy as np
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader

FULL_INK = 16.0
FLAW = os.environ.get("FLAW", "")
SECONDS_LOST = 0.5


class DigitsAdapter(ModelAdapter):
    """A network of one hidden layer, trained by train.py."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights
        self._answers = count(1)

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
        digit = scores.argmax(axis=1)
        match FLAW:
            case "slow":
                time.sleep(SECONDS_LOST)
            case "errors" if next(self._answers) % 5 == 0:
                raise RuntimeError("every fifth answer fails")
            case "labels":
                digit = (digit + 1) % 10
        return {"digit": digit, "probability": likely / likely.sum(axis=1, keepdims=True)}
