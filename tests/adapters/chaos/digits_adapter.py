"""Reads handwritten digits, and is wrong or slow on purpose: what verification must find, chosen by the environment.

DIGITS_MILLISECONDS: how long an answer takes at least (default 5). DIGITS_FAULT: `flipped` answers three classes in
the place of each other, `shifted` prefers the class 0, `odd` gets one image wrong: that of the checksum DIGITS_ODD.
"""

import os
import time
import zlib

import numpy as np
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader

FULL_INK = 16.0
SECONDS = float(os.environ.get("DIGITS_MILLISECONDS", "5")) / 1000
FAULT = os.environ.get("DIGITS_FAULT", "")
ODD = int(os.environ.get("DIGITS_ODD", "0"))
FLIPPED = {1: 2, 2: 3, 3: 1}
SHIFTED = (7, 8, 9)


class DigitsAdapter(ModelAdapter):
    """A network of one hidden layer."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights

    @classmethod
    def load(cls, state_reader: ModelStateReader) -> "DigitsAdapter":
        """Read weights.npz."""
        with state_reader.open("weights.npz") as file, np.load(file, allow_pickle=False) as archive:
            return cls({name: archive[name] for name in archive.files})

    @classmethod
    def api(cls) -> Api:
        """As the example's adapters."""
        return (
            {"image": Array("float", (-1, 64))},
            {"digit": Array("integer", (-1,)), "probability": Array("float", (-1, 10))},
        )

    def predict(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Classify images of shape [n, 64], with the fault that was chosen."""
        time.sleep(SECONDS)
        weights = self._weights
        hidden = np.maximum(image / FULL_INK @ weights["hidden"] + weights["hidden_bias"], 0)
        scores = hidden @ weights["output"] + weights["output_bias"]
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        digits = [self._answer(int(digit), row) for digit, row in zip(scores.argmax(axis=1), image, strict=True)]
        return {"digit": np.array(digits), "probability": likely / likely.sum(axis=1, keepdims=True)}

    @staticmethod
    def _answer(digit: int, row: np.ndarray) -> int:
        if FAULT == "flipped":
            return FLIPPED.get(digit, digit)
        if FAULT == "shifted":
            return 0 if digit in SHIFTED else digit
        if FAULT == "odd" and zlib.crc32(row.astype("<f4").tobytes()) == ODD:
            return (digit + 1) % 10
        return digit
