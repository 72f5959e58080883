"""Static prediction heads to flex heads, with nothing lost on the way unseen.

The `adapters` library converts a head when a model is loaded by one of its AdapterModel classes. Where it cannot, it
raises in some cases and in others serves a model without a head, or with a head of random weights. Here each of these
raises, with the library's own text where there is one, so that it can be searched for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from adapters import AutoAdapterModel
from adapters.head_utils import STATIC_TO_FLEX_HEAD_MAP
from safetensors import SafetensorError

from topgraft_transformers.golden import ATOL, Answers, answers, golden_inputs, max_abs_diff
from topgraft_transformers.record import HeadConversion, HeadConversionIncomplete, HeadUnsupported, Result

HEAD_NAME = "default"
_LIBRARY_ERRORS = (
    ValueError,
    RuntimeError,
    OSError,
    AttributeError,
    KeyError,
    TypeError,
    AssertionError,
    SafetensorError,
)
"""All that `from_pretrained` and `load_head` were seen to raise for a head that does not fit."""
_UNEXPECTED = " (unexpected)"
_BIASES = ("lm_head.bias", "cls.predictions.bias", "predictions.bias")
"""The names that the decoder's bias of a language-model head has in an artifact."""
_EMPTY_BUFFERS = {f"final_logits_bias{_UNEXPECTED}"}
"""Zeros in BART's checkpoints, without a place in a flex head; were they not zeros, the golden logits would differ."""


@dataclass(frozen=True)
class Converted:
    """A model that is ready to serve, in evaluation mode, with its one head active."""

    model: Any
    record: HeadConversion


@dataclass(frozen=True)
class _Static:
    """What the artifact's own class says: the truth that a conversion is held against."""

    logits: Answers
    bias: torch.Tensor | None


def architecture(directory: str | Path) -> str | None:
    """The class that config.json says the weights are of; None where it says none. Raises
    HeadUnsupported."""
    try:
        told = json.loads((Path(directory) / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise _unsupported("none", "none", f"config.json: {_text(error)}") from error
    named = told.get("architectures") if isinstance(told, dict) else None
    return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else None


def convert_head(directory: str | Path, head_name: str = HEAD_NAME, *, runtime: Any = AutoAdapterModel) -> Converted:
    """Load a model's directory so that its head is the flex head `head_name`.

    `runtime` is the class to load it with, an AdapterModel of the library. A static head is converted, and its golden
    logits compared with its own class's, within 1e-5; a flex head is loaded as it is. Raises HeadUnsupported or
    HeadConversionIncomplete.
    """
    found = architecture(directory)
    if found is None:
        raise _unsupported("none", runtime, "config.json names no architectures: the library would serve no head")
    static = _static(directory, found) if found in STATIC_TO_FLEX_HEAD_MAP else None
    model, loading = _load(directory, found, runtime)
    record = HeadConversion(found, type(model).__name__, Result.NOT_NEEDED if static is None else Result.CONVERTED)
    name = _only_head(model, record, loading)
    lost = set(_lost(model, loading))
    if static is not None:
        # What the body misses, the golden logits show: its own class has every weight.
        lost = {key for key in lost if not key.startswith(f"{model.base_model_prefix}.")} - _EMPTY_BUFFERS
        if repaired := _repaired(model, name, lost, static.bias):
            record, lost = replace(record, result=Result.REPAIRED), lost - repaired
    if lost:
        raise _incomplete(record, sorted(lost))
    _rename(model, name, head_name)
    record = replace(record, head_name=head_name, head_type=model.heads[head_name].config.get("head_type"))
    return Converted(model.eval(), record if static is None else _compared(model, record, static))


def load_static(directory: str | Path) -> Converted:
    """Load a model's directory by the class that config.json names: no conversion. Raises HeadUnsupported or
    HeadConversionIncomplete."""
    found = architecture(directory) or "none"
    model, loading = _load(directory, found, _static_class(found))
    record = HeadConversion(found, found, Result.NOT_NEEDED)
    if lost := _lost(model, loading):
        raise _incomplete(record, lost)
    return Converted(model.eval(), record)


def load_adapter_head(
    base: str | Path, adapter: str | Path, head_name: str = HEAD_NAME, *, runtime: Any = AutoAdapterModel
) -> Converted:
    """Load a base model's directory, and on it an adapter's with its head, which becomes the flex head `head_name`.

    Golden logits are not compared: there is no static class of a model with an adapter in it. Raises HeadUnsupported or
    HeadConversionIncomplete.
    """
    directory = Path(adapter)
    found = _head_class(directory)
    model, _ = _load(base, architecture(base) or "none", runtime)
    for name in list(model.heads):
        model.delete_head(name)
    told: dict[str, Any] = {}
    safe = (directory / "model_head.safetensors").exists() or (directory / "adapter.safetensors").exists()
    made = type(model).__name__
    try:
        if (directory / "adapter_config.json").exists():
            name = model.load_adapter(
                str(directory), load_as=head_name, set_active=True, use_safetensors=safe, loading_info=told
            )
        else:
            name = model.load_head(str(directory), load_as=head_name, use_safetensors=safe, loading_info=told)
    except _LIBRARY_ERRORS as error:
        raise _unsupported(found, made, _text(error)) from error
    same = found == made or found.endswith("ModelWithHeads")
    record = HeadConversion(found, made, Result.NOT_NEEDED if same else Result.CONVERTED)
    if head_name not in model.heads:
        raise _incomplete(record, [f"no head {name!r} came of {directory.name}"])
    if lost := sorted(told.get("missing_keys", [])):
        raise _incomplete(record, [f"{name} is missing" for name in lost])
    model.active_head = head_name
    head_type = model.heads[head_name].config.get("head_type")
    return Converted(model.eval(), replace(record, head_name=head_name, head_type=head_type))


def _static_class(name: str) -> Any:
    found = getattr(transformers, name, None)
    if found is None:
        raise _unsupported(name, name, f"transformers {transformers.__version__} has no class {name}")
    return found


def _static(directory: str | Path, found: str) -> _Static:
    """Golden logits of the artifact's own class. It must fit the weights whole, or `architectures` lies."""
    model, loading = _load(directory, found, _static_class(found))
    if lost := _lost(model, loading):
        raise _incomplete(HeadConversion(found, found, Result.INCOMPLETE), lost)
    output = model.get_output_embeddings()
    bias = getattr(output, "bias", None)
    return _Static(
        answers(model, golden_inputs(model, _choices(model, found))), None if bias is None else bias.detach()
    )


def _load(directory: str | Path, found: str, runtime: Any) -> tuple[Any, dict[str, Any]]:
    try:
        model, loading = runtime.from_pretrained(str(directory), output_loading_info=True, local_files_only=True)
    except _LIBRARY_ERRORS as error:
        raise _unsupported(found, runtime, _text(error)) from error
    return model, loading


def _only_head(model: Any, record: HeadConversion, loading: dict[str, Any]) -> str:
    """The name of the model's head. Without one the library answers hidden states in place of logits."""
    if len(model.heads) == 1:
        return str(next(iter(model.heads)))
    if model.heads and model.active_head in model.heads:
        return str(model.active_head)
    left = ", ".join(sorted(loading["unexpected_keys"])[:3]) or "no weights of a head"
    text = f"Cannot automatically convert prediction head of model class {record.found} to flex head."
    raise _unsupported(record.found, record.made, f"{text} (the library left it out without a word: {left})")


def _lost(model: Any, loading: dict[str, Any]) -> list[str]:
    """What of the head, or of the body below it, is not the artifact's.

    A pooler is in many base models and used by few heads: whether its weights matter is for the golden logits to say.
    """
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    missing = [key for key in loading["missing_keys"] if ".pooler." not in key and key not in tied]
    body = f"{model.base_model_prefix}."
    unexpected = [key for key in loading["unexpected_keys"] if not key.startswith(body)]
    mismatched = [key if isinstance(key, str) else str(key[0]) for key in loading.get("mismatched_keys", ())]
    return [*missing, *(f"{key}{_UNEXPECTED}" for key in unexpected), *(f"{key} (shape)" for key in mismatched)]


def _repaired(model: Any, head: str, lost: set[str], bias: torch.Tensor | None) -> set[str]:
    """Put back the decoder's bias of a language-model head, which the library's map leaves out (nine classes).

    Returns what of `lost` it mended: nothing, where it is not that bias that is lost.
    """
    last = len(model.heads[head]) - 1
    key = f"heads.{head}.{last}.bias"
    if bias is None or key not in lost or model.heads[head][last].bias.shape != bias.shape:
        return set()
    with torch.no_grad():
        model.heads[head][last].bias.copy_(bias)
    return {key, *(f"{name}{_UNEXPECTED}" for name in _BIASES)}


def _rename(model: Any, old: str, new: str) -> None:
    """from_pretrained calls every head "default"."""
    if old != new:
        head = model.heads.pop(old)
        head.name = new
        model.heads[new] = head
        model.config.prediction_heads[new] = model.config.prediction_heads.pop(old, head.config)
    model.active_head = new


def _compared(model: Any, record: HeadConversion, static: _Static) -> HeadConversion:
    try:
        given = golden_inputs(model, _choices(model, record.found))
        difference = max_abs_diff(static.logits, answers(model, given))
    except _LIBRARY_ERRORS as error:
        raise _incomplete(record, [f"the flex head does not answer: {_text(error)}"]) from error
    record = replace(record, max_abs_diff=difference)
    if difference > ATOL:
        text = f"golden logits of {record.found} and {record.made} differ by {difference:.3g}, more than {ATOL:g}"
        raise HeadConversionIncomplete(replace(record, result=Result.INCOMPLETE, message=text))
    return record


def _choices(model: Any, found: str) -> int:
    return int(model.config.num_labels) if found.endswith("ForMultipleChoice") else 0


def _head_class(directory: Path) -> str:
    try:
        return str(json.loads((directory / "head_config.json").read_text())["model_class"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unsupported("none", "none", f"{directory.name}/head_config.json: {_text(error)}") from error


def _unsupported(found: str, made: Any, text: str) -> HeadUnsupported:
    name = made if isinstance(made, str) else made.__name__
    return HeadUnsupported(HeadConversion(found, name, Result.UNSUPPORTED, message=text))


def _incomplete(record: HeadConversion, lost: Iterable[str]) -> HeadConversionIncomplete:
    keys = list(lost)
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    text = f"the weights do not make a whole {record.made} out of {record.found}: {', '.join(keys[:5])}{more}"
    return HeadConversionIncomplete(replace(record, result=Result.INCOMPLETE, message=text))


def _text(error: BaseException) -> str:
    """The library's own words, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
