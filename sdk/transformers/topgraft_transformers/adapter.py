"""Adapter classes whose model comes with its head converted and checked."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
from adapters import AutoAdapterModel
from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader
from transformers import AutoTokenizer

from topgraft_transformers.conversion import HEAD_NAME, Converted, convert_head, load_adapter_head, load_static
from topgraft_transformers.mode import Mode
from topgraft_transformers.record import HeadError, HeadUnsupported, Result

_log = logging.getLogger("topgraft_transformers")


@dataclass(frozen=True)
class HeadSettings:
    """`spec.headConversion` of the ModelVersion; without it the mode is Auto and the head is called "default"."""

    mode: Mode = "Auto"
    head_name: str = HEAD_NAME

    @classmethod
    def of_environment(cls) -> Self:
        """TOPGRAFT_HEAD_CONVERSION and TOPGRAFT_HEAD_NAME. Raises ValueError for a mode that there is not."""
        mode = os.environ.get("TOPGRAFT_HEAD_CONVERSION") or "Auto"
        if mode not in get_args(Mode):
            raise ValueError(f"TOPGRAFT_HEAD_CONVERSION={mode!r}: set it to {', '.join(get_args(Mode))}.")
        return cls(mode, os.environ.get("TOPGRAFT_HEAD_NAME") or HEAD_NAME)  # type: ignore[arg-type]


def open_model(directory: str | Path, settings: HeadSettings, runtime: Any = AutoAdapterModel) -> Converted:
    """The model in a directory of artifacts, its head as the settings want it.

    The directory has a model as transformers saves it, and may have an adapter as the library saves it, beside the
    model's files or in the folder `adapter`. Auto converts a head that can be converted, and serves another one by its
    own class; Require raises then; Off never converts. Raises HeadUnsupported or HeadConversionIncomplete.
    """
    if settings.mode == "Off":
        return load_static(directory)
    adapter = Path(directory) / "adapter"
    adapter = adapter if adapter.is_dir() else Path(directory)
    if (adapter / "head_config.json").exists():
        return load_adapter_head(directory, adapter, settings.head_name, runtime=runtime)
    try:
        return convert_head(directory, settings.head_name, runtime=runtime)
    except HeadUnsupported as error:
        if settings.mode == "Require":
            raise
        try:
            made = load_static(directory)
        except HeadError:
            raise error from None
        record = replace(made.record, result=Result.UNSUPPORTED, message=str(error))
        return Converted(made.model, record)


class TransformersAdapter(ModelAdapter):
    """A transformer model with a head; derive from it and define `api` and `predict`."""

    runtime: ClassVar[Any] = AutoAdapterModel
    """The class of the `adapters` library that models are loaded with."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, state_reader: ModelStateReader, *_contexts: Any) -> Self:
        """Load and check model and tokenizer. What it raises has the library's own text: the pod is never ready."""
        directory = state_reader.dir()
        made = open_model(directory, HeadSettings.of_environment(), cls.runtime)
        _log.info("head %s", made.record.wire())
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)  # type: ignore[no-untyped-call]
        return cls(made.model, tokenizer)

    @classmethod
    def inspect_head(cls, state_reader: ModelStateReader) -> Mapping[str, Any]:
        """The record of the conversion, also of one that failed."""
        try:
            return open_model(state_reader.dir(), HeadSettings.of_environment(), cls.runtime).record.wire()
        except HeadError as error:
            return error.record.wire()


class TextClassifier(TransformersAdapter):
    """Texts in, a label and the probability of each label out."""

    @classmethod
    def api(cls) -> Api:
        """`text`: strings of shape [n]; `label`: strings [n]; `scores`: floats [n, labels]."""
        return {"text": Array("string", (-1,))}, {"label": Array("string", (-1,)), "scores": Array("float", (-1, -1))}

    def predict(self, text: np.ndarray) -> dict[str, Any]:
        """Label and scores of each text."""
        tokens = self.tokenizer([str(one) for one in text], padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
        scores = torch.softmax(logits, dim=-1).numpy()
        names = self._names(scores.shape[1])
        return {"label": np.array([names[place] for place in scores.argmax(axis=1)], dtype=object), "scores": scores}

    def _names(self, count: int) -> list[str]:
        heads = getattr(self.model, "heads", None)
        told = heads[self.model.active_head].config.get("label2id") if heads else self.model.config.label2id
        by_place = {int(place): str(name) for name, place in (told or {}).items()}
        return [by_place.get(place, f"LABEL_{place}") for place in range(count)]
