"""Tiny models with random weights: a configuration for each architecture that the library converts, seeds fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

_TEXT = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}
_BART = {
    "vocab_size": 97,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "max_position_embeddings": 64,
}
_T5 = {"vocab_size": 97, "d_model": 32, "d_kv": 16, "d_ff": 37, "num_layers": 2, "num_heads": 2}
_GPT = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "rotary_dim": 4}
_LLAMA = {**_TEXT, "num_key_value_heads": 2, "head_dim": 16}
_IMAGE = {
    "image_size": 32,
    "patch_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
}
_WHISPER = {
    "vocab_size": 97,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "num_mel_bins": 8,
    "max_source_positions": 20,
    "max_target_positions": 40,
}
_SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
_CONFIGS: dict[str, dict[str, Any]] = {
    "Albert": {**_TEXT, "embedding_size": 16},
    "Beit": {**_IMAGE, "use_mask_token": False},
    "Bert": _TEXT,
    "BertGeneration": {**_TEXT, "is_decoder": True},
    "Roberta": _TEXT,
    "XLMRoberta": _TEXT,
    "Xmod": {**_TEXT, "languages": ["en_XX"], "default_language": "en_XX"},
    "Bart": _BART,
    "MBart": _BART,
    "PLBart": _BART,
    "MT5": _T5,
    "T5": _T5,
    "DistilBert": {"vocab_size": 97, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 37},
    "GPT2": _GPT,
    "GPTJ": _GPT,
    "DebertaV2": _TEXT,
    "Deberta": _TEXT,
    "ViT": _IMAGE,
    "Llama": _LLAMA,
    "Mistral": _LLAMA,
    "Electra": {**_TEXT, "embedding_size": 16},
    "Whisper": _WHISPER,
}
_BY_LENGTH = sorted(_CONFIGS, key=len, reverse=True)


def make(class_name: str, **changes: Any) -> Any:
    """A model of this class with random weights and biases, the same at each call."""
    family = next(name for name in _BY_LENGTH if class_name.startswith(name))
    settings = {**_CONFIGS[family], **_SPECIAL, "num_labels": 2 if "Question" in class_name else 3, **changes}
    if "CausalLM" in class_name or "LMHeadModel" in class_name:
        settings["is_decoder"] = True
    config = getattr(transformers, f"{family}Config")(**settings)
    transformers.set_seed(7)
    model = getattr(transformers, class_name)(config)
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # all zero when new, so that a lost one would not be seen
                parameter.normal_(0.0, 0.2, generator=random)
    return model.eval()


def save(class_name: str, directory: Path, **changes: Any) -> Any:
    """The same, saved as the library saves it; returns the model."""
    model = make(class_name, **changes)
    model.save_pretrained(directory)
    return model


def save_mpnet(directory: Path) -> None:
    """A model of an architecture that the library has no flex heads for."""
    config = transformers.MPNetConfig(**_TEXT, **_SPECIAL)
    transformers.set_seed(7)
    transformers.MPNetForSequenceClassification(config).save_pretrained(directory)
