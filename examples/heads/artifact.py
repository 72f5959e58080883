"""Make the artifacts of the example: `python artifact.py DIRECTORY`.

A base model and an adapter with a flex head for it, 200 KB, with random weights of a fixed seed: small enough for a
ConfigMap, and a real case: https://github.com/adapter-hub/adapters/issues/662. Needs sdk/transformers/constraints.txt.
"""

import sys
from pathlib import Path

import torch
import transformers
from adapters import RobertaAdapterModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_WORDS = ["a", "awful", "bad", "fine", "good", "great", "it", "movie", "not", "ok", "the", "this", "very", "was"]


def make(directory: Path) -> None:
    """Write model, tokenizer and adapter."""
    transformers.set_seed(662)
    vocabulary = {word: place for place, word in enumerate([*_SPECIAL, *_WORDS])}
    _tokenizer(vocabulary).save_pretrained(directory)
    config = transformers.RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        max_position_embeddings=66,
    )
    model = RobertaAdapterModel(config)
    model.save_pretrained(directory)
    model.add_adapter("sentiment", config="seq_bn")
    labels = {0: "negative", 1: "neutral", 2: "positive"}
    model.add_classification_head("sentiment", num_labels=3, id2label=labels)
    with torch.no_grad():
        for parameter in model.heads["sentiment"].parameters():
            parameter.normal_(0.0, 1.0)
    model.save_adapter(str(directory), "sentiment", use_safetensors=True)


def _tokenizer(vocabulary: dict[str, int]) -> transformers.PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **names)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY")
    make(Path(sys.argv[1]))
