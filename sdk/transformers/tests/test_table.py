"""Every static class that the library says it converts: bit-equal, repaired, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from adapters.head_utils import STATIC_TO_FLEX_HEAD_MAP

from topgraft_transformers import HeadError, Result, convert_head

REPAIRED = {
    "AlbertForMaskedLM",
    "BertForMaskedLM",
    "BertLMHeadModel",
    "DebertaForMaskedLM",
    "DebertaV2ForMaskedLM",
    "RobertaForCausalLM",
    "RobertaForMaskedLM",
    "XLMRobertaForCausalLM",
    "XLMRobertaForMaskedLM",
}
"""The library's map leaves out the decoder's bias."""
ROUNDED = {
    "GPT2ForSequenceClassification",
    "GPTJForCausalLM",
    "GPTJForQuestionAnswering",
    "GPTJForSequenceClassification",
    "LlamaForSequenceClassification",
    "MistralForSequenceClassification",
}
"""The same sums in another order: the last bits may differ."""
_CORRUPTED = (Result.UNSUPPORTED, "The state dictionary of the model you are trying to load is corrupted.")
_DIFFER = (Result.INCOMPLETE, "golden logits of")
REFUSED = {
    "BertGenerationDecoder": (Result.INCOMPLETE, "the flex head does not answer"),
    "LlamaForQuestionAnswering": _CORRUPTED,
    "MT5ForConditionalGeneration": _CORRUPTED,
    "MT5ForQuestionAnswering": _CORRUPTED,
    "T5ForQuestionAnswering": _CORRUPTED,
    # Their language adapters take no part in the flex model.
    "XmodForCausalLM": _DIFFER,
    "XmodForMaskedLM": _DIFFER,
    "XmodForMultipleChoice": _DIFFER,
    "XmodForQuestionAnswering": _DIFFER,
    "XmodForSequenceClassification": _DIFFER,
    "XmodForTokenClassification": _DIFFER,
}


def test_the_table_names_classes_of_the_library() -> None:
    assert len(STATIC_TO_FLEX_HEAD_MAP) == 82
    assert REPAIRED | ROUNDED | set(REFUSED) <= set(STATIC_TO_FLEX_HEAD_MAP)


@pytest.mark.parametrize("name", [name for name in STATIC_TO_FLEX_HEAD_MAP if name not in REFUSED])
def test_converts(name: str, tmp_path: Path) -> None:
    tiny.save(name, tmp_path)
    record = convert_head(tmp_path).record
    assert record.found == name
    assert record.made.endswith("AdapterModel")
    assert (record.head_name, record.head_type) == ("default", STATIC_TO_FLEX_HEAD_MAP[name]["config"]["head_type"])
    assert record.result is (Result.REPAIRED if name in REPAIRED else Result.CONVERTED)
    assert record.max_abs_diff is not None
    assert record.max_abs_diff <= (2.4e-7 if name in ROUNDED else 0.0)


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str, tmp_path: Path) -> None:
    tiny.save(name, tmp_path)
    result, text = REFUSED[name]
    with pytest.raises(HeadError) as error:
        convert_head(tmp_path)
    assert error.value.record.result is result
    assert text in str(error.value)
