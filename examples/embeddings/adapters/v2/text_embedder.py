"""Vectors of texts: the mean over the words of each, as the encoder was trained."""

from typing import Any, Self

import numpy as np
import torch
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader
from transformers import AutoModel, AutoTokenizer


class TextEmbedder(ModelAdapter):
    """A sentence encoder: texts in, vectors of length 1 out; the closer two are, the more alike is what they say."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        """Load encoder and tokenizer."""
        directory = state_reader.dir()
        model = AutoModel.from_pretrained(directory, local_files_only=True)
        return cls(model.eval(), AutoTokenizer.from_pretrained(directory, local_files_only=True))

    @classmethod
    def api(cls) -> Api:
        """`text`: strings of shape [n]; `embedding`: floats [n, 384]."""
        return {"text": Array("string", (-1,))}, {"embedding": Array("float", (-1, 384))}

    def predict(self, text: np.ndarray) -> np.ndarray:
        """The vector of each text."""
        texts = [str(one) for one in text]
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            words = self.model(**tokens).last_hidden_state
        # Texts of one request are padded to the length of the longest: what was added says nothing.
        counts = tokens["attention_mask"].unsqueeze(-1)
        mean = (words * counts).sum(dim=1) / counts.sum(dim=1)
        return torch.nn.functional.normalize(mean, dim=1).numpy()
