"""What the library does without a word, and what it says: each ends in a checked model or in an error with its text."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from adapters import AutoAdapterModel, BertAdapterModel, RobertaAdapterModel, XLMRobertaAdapterModel
from safetensors.torch import load_file, save_file

from topgraft_transformers import (
    HeadConversionIncomplete,
    HeadError,
    HeadUnsupported,
    Result,
    convert_head,
    load_adapter_head,
    load_static,
)

CLASSIFIER = "RobertaForSequenceClassification"


class RobertaModelWithHeads(RobertaAdapterModel):
    """The class that a runtime of adapter-transformers 2 loads a model with, under its name of then."""


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    directory = tmp_path / "classifier"
    tiny.save(CLASSIFIER, directory, id2label={0: "neg", 1: "neu", 2: "pos"}, label2id={"neg": 0, "neu": 1, "pos": 2})
    return directory


@pytest.fixture
def adapted(tmp_path: Path) -> tuple[Path, Path]:
    """A base model, and an adapter with a flex head for it."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    tiny.save("RobertaForMaskedLM", base)
    model = RobertaAdapterModel.from_pretrained(str(base))
    torch.manual_seed(11)
    model.add_adapter("sentiment")
    model.add_classification_head("sentiment", num_labels=3)
    model.save_adapter(str(adapter), "sentiment", use_safetensors=True)
    return base, adapter


def change(directory: Path, **fields: Any) -> None:
    file = directory / "config.json"
    told = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))


def weights(directory: Path, mend: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    mend(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_labels_logits_and_name(classifier: Path) -> None:
    made = convert_head(classifier, "sent")
    assert made.record.wire() == {
        "from": CLASSIFIER,
        "to": "RobertaAdapterModel",
        "headName": "sent",
        "headType": "classification",
        "maxAbsDiff": "0",
        "result": "Converted",
    }
    assert list(made.model.heads) == ["sent"]
    assert made.model.active_head == "sent"
    assert made.model.heads["sent"].config["label2id"] == {"neg": 0, "neu": 1, "pos": 2}
    tokens = torch.tensor([[5, 6, 7, 2]])
    with torch.no_grad():
        assert torch.equal(made.model(tokens).logits, load_static(classifier).model(tokens).logits)


def test_a_flex_head_stays_as_it_is(classifier: Path, tmp_path: Path) -> None:
    convert_head(classifier).model.save_pretrained(tmp_path / "flex")
    record = convert_head(tmp_path / "flex").record
    assert (record.result, record.found, record.made) == (
        Result.NOT_NEEDED,
        "RobertaAdapterModel",
        "RobertaAdapterModel",
    )
    assert record.head_type == "classification"


def test_reads_only(classifier: Path) -> None:
    def digest() -> dict[str, str]:
        return {file.name: sha256(file.read_bytes()).hexdigest() for file in classifier.iterdir()}

    before = digest()
    for path in (*classifier.iterdir(), classifier):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    convert_head(classifier)
    classifier.chmod(0o755)
    assert digest() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"num_labels": 1},
        {"problem_type": "multi_label_classification"},
        {"num_labels": 1, "problem_type": "regression"},
    ],
    ids=["one-label", "multi-label", "regression"],
)
def test_other_classifications(changes: dict[str, Any], tmp_path: Path) -> None:
    tiny.save(CLASSIFIER, tmp_path, **changes)
    assert convert_head(tmp_path).record.max_abs_diff == 0


def test_weights_in_torchs_own_form(classifier: Path) -> None:
    torch.save(load_file(classifier / "model.safetensors"), classifier / "pytorch_model.bin")
    (classifier / "model.safetensors").unlink()
    assert convert_head(classifier).record.result is Result.CONVERTED


def refused(directory: Path, error: type[HeadError], *texts: str) -> None:
    with pytest.raises(error) as raised:
        convert_head(directory)
    for text in texts:
        assert text in str(raised.value)
    assert raised.value.record.wire()["message"]


def test_a_class_without_a_way_is_refused(tmp_path: Path) -> None:
    """The library serves hidden states in place of logits."""
    tiny.save("BertForNextSentencePrediction", tmp_path)
    assert not AutoAdapterModel.from_pretrained(str(tmp_path)).heads
    text = "Cannot automatically convert prediction head of model class BertForNextSentencePrediction to flex head."
    refused(tmp_path, HeadUnsupported, text, "cls.seq_relationship")


def test_no_architectures_is_refused(classifier: Path) -> None:
    change(classifier, architectures=None)
    assert not AutoAdapterModel.from_pretrained(str(classifier)).heads
    refused(classifier, HeadUnsupported, "config.json names no architectures")


def test_architectures_that_lie_are_refused(classifier: Path) -> None:
    """The library serves a head of random weights."""
    change(classifier, architectures=["RobertaForTokenClassification"])
    assert AutoAdapterModel.from_pretrained(str(classifier)).heads
    refused(classifier, HeadConversionIncomplete, "classifier.")


@pytest.mark.parametrize("architecture", ["RobertaAdapterModel", "RobertaForNothing", "BertForSequenceClassification"])
def test_other_lies_are_refused(classifier: Path, architecture: str) -> None:
    change(classifier, architectures=[architecture])
    refused(classifier, HeadError)


def test_a_missing_weight_of_the_body_is_refused(classifier: Path) -> None:
    weights(classifier, lambda tensors: tensors.pop("roberta.encoder.layer.1.output.dense.weight"))
    refused(classifier, HeadConversionIncomplete, "roberta.encoder.layer.1.output.dense.weight")


def test_a_missing_weight_of_the_head_is_refused(classifier: Path) -> None:
    weights(classifier, lambda tensors: tensors.pop("classifier.out_proj.bias"))
    refused(classifier, HeadConversionIncomplete, "classifier.out_proj.bias")


def test_weights_that_are_no_numbers_are_refused(classifier: Path) -> None:
    weights(classifier, lambda tensors: tensors["classifier.out_proj.bias"].fill_(float("nan")))
    refused(classifier, HeadConversionIncomplete, "golden logits", "inf")


def test_a_buffer_that_the_flex_head_has_no_place_for_is_refused_unless_empty(tmp_path: Path) -> None:
    tiny.save("BartForConditionalGeneration", tmp_path)
    assert convert_head(tmp_path).record.max_abs_diff == 0
    weights(tmp_path, lambda tensors: tensors["final_logits_bias"].fill_(1.0))
    refused(tmp_path, HeadConversionIncomplete, "differ by 1")


def test_labels_that_do_not_fit_the_weights_are_refused(classifier: Path) -> None:
    change(classifier, id2label={"0": "no", "1": "yes"}, label2id={"no": 0, "yes": 1})
    refused(classifier, HeadUnsupported, "size mismatch")


def test_weights_cut_off_are_refused(classifier: Path) -> None:
    file = classifier / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(classifier, HeadUnsupported)


def test_an_architecture_that_is_not_covered_is_refused(tmp_path: Path) -> None:
    tiny.save_mpnet(tmp_path)
    refused(tmp_path, HeadUnsupported, "Unrecognized configuration class", "AutoAdapterModel")


def test_static_weights_by_their_own_class(classifier: Path) -> None:
    record = load_static(classifier).record
    assert (record.found, record.made, record.result) == (CLASSIFIER, CLASSIFIER, Result.NOT_NEEDED)
    change(classifier, architectures=["RobertaForTokenClassification"])
    with pytest.raises(HeadConversionIncomplete):
        load_static(classifier)


class TestAdapters:
    """An adapter saved with its head: only the runtime decides whether it loads."""

    def test_loads(self, adapted: tuple[Path, Path]) -> None:
        made = load_adapter_head(*adapted, "sent")
        assert made.record.wire() == {
            "from": "RobertaAdapterModel",
            "to": "RobertaAdapterModel",
            "headName": "sent",
            "headType": "classification",
            "result": "NotNeeded",
        }
        assert made.model.active_head == "sent"
        with torch.no_grad():
            assert made.model(torch.tensor([[5, 6, 2]])).logits.shape == (1, 3)

    @pytest.mark.parametrize("runtime", [RobertaModelWithHeads, XLMRobertaAdapterModel])
    def test_an_old_runtime_says_what_it_is_known_for(self, adapted: tuple[Path, Path], runtime: Any) -> None:
        with pytest.raises(HeadUnsupported) as error:
            load_adapter_head(*adapted, runtime=runtime)
        text = "Cannot automatically convert prediction head of model class RobertaAdapterModel to flex head."
        assert text in str(error.value)
        assert error.value.record.found == "RobertaAdapterModel"

    def test_a_static_head_beside_an_adapter_is_converted(self, adapted: tuple[Path, Path], tmp_path: Path) -> None:
        base, _ = adapted
        head = tmp_path / "head"
        self._static_head(head)
        record = load_adapter_head(base, head, "sent").record
        assert (record.found, record.made, record.result) == (CLASSIFIER, "RobertaAdapterModel", Result.CONVERTED)

    def test_one_without_a_way_is_refused(self, adapted: tuple[Path, Path]) -> None:
        base, adapter = adapted
        self._tell(adapter, model_class="BertForNextSentencePrediction")
        text = "Cannot automatically convert prediction head of model class BertForNextSentencePrediction to flex head."
        self._refused(base, adapter, text)

    @pytest.mark.parametrize("head_type", ["my_head", "seq2seq_lm"])
    def test_a_head_type_that_is_not_known(self, adapted: tuple[Path, Path], head_type: str) -> None:
        base, adapter = adapted
        told = json.loads((adapter / "head_config.json").read_text())
        self._tell(adapter, config={**told["config"], "head_type": head_type})
        self._refused(base, adapter, f"Given head type '{head_type}' is not known.")

    def test_another_size(self, adapted: tuple[Path, Path], tmp_path: Path) -> None:
        _, adapter = adapted
        tiny.save("RobertaForMaskedLM", tmp_path / "larger", hidden_size=64)
        self._refused(tmp_path / "larger", adapter, "size mismatch")

    def test_an_adapter_that_is_not_there(self, adapted: tuple[Path, Path]) -> None:
        base, adapter = adapted
        self._refused(base, adapter / "none", "head_config.json")

    def test_a_head_whose_weights_are_not_there(self, adapted: tuple[Path, Path]) -> None:
        base, adapter = adapted
        for file in adapter.glob("*head*"):
            if file.name != "head_config.json":
                file.unlink()
        self._refused(base, adapter)

    def test_a_base_that_is_no_model_of_the_library(self, adapted: tuple[Path, Path], tmp_path: Path) -> None:
        shutil.rmtree(adapted[0])
        self._refused(adapted[0], adapted[1])

    @staticmethod
    def _static_head(directory: Path) -> None:
        import adapters  # noqa: PLC0415

        model = tiny.make(CLASSIFIER)
        adapters.init(model)
        model.save_head(str(directory), use_safetensors=True)

    @staticmethod
    def _tell(adapter: Path, **fields: Any) -> None:
        file = adapter / "head_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))

    @staticmethod
    def _refused(base: Path, adapter: Path, text: str = "") -> None:
        with pytest.raises(HeadError) as error:
            load_adapter_head(base, adapter)
        assert text in str(error.value)


def test_a_runtime_of_another_family_is_refused(classifier: Path) -> None:
    with pytest.raises(HeadError):
        convert_head(classifier, runtime=BertAdapterModel)
