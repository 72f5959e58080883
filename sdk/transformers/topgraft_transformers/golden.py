"""Fixed inputs, and how far two models' answers to them are apart.

A head with a lost bias or with random weights still gives numbers, and even nearly the right distribution (a lost
decoder bias: KL 0.001); only the logits themselves show it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

ATOL = 1e-5
"""Greatest difference of a logit that rounding explains: another order of the same sums."""

_INPUTS = 3
_LENGTH = 9
_ANSWERS = ("logits", "start_logits", "end_logits")

Inputs = Mapping[str, torch.Tensor]
Answers = Sequence[Mapping[str, torch.Tensor]]


def golden_inputs(model: Any, choices: int = 0) -> list[Inputs]:
    """Inputs for a model of this configuration, the same at every call; each is a batch of one.

    `choices`: of a multiple-choice head, whose input_ids have shape [1, choices, length]; else [1, length].
    """
    random = torch.Generator().manual_seed(20240325)
    return [_input(model, choices, random) for _ in range(_INPUTS)]


def answers(model: Any, inputs: Sequence[Inputs]) -> Answers:
    """Logits by name for each input, in evaluation mode and without gradients."""
    model.eval()
    found = []
    with torch.no_grad():
        for given in inputs:
            output = model(**given)
            told = {name: getattr(output, name, None) for name in _ANSWERS}
            found.append({name: value for name, value in told.items() if isinstance(value, torch.Tensor)})
    return found


def max_abs_diff(old: Answers, new: Answers) -> float:
    """The greatest difference of any logit; infinite where names, shapes or finiteness differ, or there is none."""
    greatest = 0.0
    for one, other in zip(old, new, strict=True):
        if not one or one.keys() != other.keys():
            return float("inf")
        for name, logits in one.items():
            if logits.shape != other[name].shape:
                return float("inf")
            difference = float((logits - other[name]).abs().max())
            # Not a number compares as nothing at all.
            greatest = float("inf") if math.isnan(difference) else max(greatest, difference)
    return greatest


def _input(model: Any, choices: int, random: torch.Generator) -> Inputs:
    config = model.config
    if model.main_input_name == "pixel_values":
        size = config.image_size
        return {"pixel_values": torch.randn(1, config.num_channels, size, size, generator=random)}
    if model.main_input_name == "input_features":
        features = torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions, generator=random)
        return {"input_features": features, "decoder_input_ids": _tokens(config, (1, _LENGTH), random)}
    shape = (1, choices, _LENGTH) if choices else (1, _LENGTH)
    made = {"input_ids": _tokens(config, shape, random), "attention_mask": torch.ones(shape, dtype=torch.long)}
    takes = inspect.signature(model.forward).parameters
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        made["decoder_input_ids"] = made["input_ids"].clone()
    return made


def _tokens(config: Any, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    """Plain tokens and one end: models of sequences look for the first padding and for the last end."""
    special = {getattr(config, name, None) for name in ("pad_token_id", "eos_token_id", "bos_token_id")}
    special |= {getattr(config, name, None) for name in ("decoder_start_token_id", "sep_token_id")}
    plain = torch.tensor([token for token in range(min(config.vocab_size, 30_000)) if token not in special])
    tokens = plain[torch.randint(len(plain), shape, generator=random)]
    if isinstance(config.eos_token_id, int) and config.eos_token_id < config.vocab_size:
        tokens[..., -1] = config.eos_token_id
    return tokens
