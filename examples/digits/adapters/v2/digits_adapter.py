"""Reads handwritten digits: version 2, with the scale mended."""

import numpy as np
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader

FULL_INK = 16.0


class DigitsAdapter(ModelAdapter):
    """A network of one hidden layer, trained by train.py."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights

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
        return {"digit": scores.argmax(axis=1), "probability": likely / likely.sum(axis=1, keepdims=True)}
