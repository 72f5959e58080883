"""The example without a cluster: each adapter on the real weights and samples."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from topgraft_adapter import ModelAdapter, ModelStateReader

HERE = Path(__file__).parent
SAMPLES = json.loads((HERE / "samples.json").read_text())


def adapter_class(variant: str) -> type[ModelAdapter]:
    """The one adapter class of a variant's module."""
    path = HERE / "adapters" / variant / "digits_adapter.py"
    spec = importlib.util.spec_from_file_location(f"digits_adapter_{variant}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    return found


def loaded(variant: str) -> ModelAdapter:
    return adapter_class(variant).load(ModelStateReader(HERE))


def read(adapter: ModelAdapter) -> list[int]:
    pixels = np.array([sample["pixels"] for sample in SAMPLES], dtype=np.float32)
    return adapter.predict(image=pixels)["digit"].tolist()


def test_the_second_version_reads_every_sample():
    assert read(loaded("v2")) == [sample["label"] for sample in SAMPLES]


def test_the_first_version_gets_the_first_sample_wrong():
    right = [digit == sample["label"] for digit, sample in zip(read(loaded("v1")), SAMPLES, strict=True)]
    assert right == [sample["v1Right"] for sample in SAMPLES]
    assert not right[0]


def test_probabilities_are_a_distribution():
    pixels = np.array([SAMPLES[0]["pixels"]], dtype=np.float32)
    probability = loaded("v2").predict(image=pixels)["probability"]
    assert probability.shape == (1, 10)
    assert probability.sum() == pytest.approx(1)


def test_the_third_version_dies_ten_seconds_after_its_first_answer(monkeypatch):
    cls = adapter_class("v3")
    now = [100.0]
    monkeypatch.setitem(cls.predict.__globals__, "monotonic", lambda: now[0])
    adapter = cls.load(ModelStateReader(HERE))
    now[0] = 500.0
    assert adapter.ready(), "waiting for a first request does not count"
    read(adapter)
    now[0] = 509.9
    read(adapter)
    assert adapter.ready()
    now[0] = 510.1
    assert not adapter.ready()
    now[0] = 9999.0
    assert not adapter.ready()


def test_the_fourth_version_cannot_load():
    with pytest.raises(KeyError):
        loaded("v4")


def test_only_the_fifth_version_has_another_class_name():
    names = [adapter_class(f"v{number}").__name__ for number in range(1, 6)]
    assert names == ["DigitsAdapter"] * 4 + ["HandwritingAdapter"]
    assert len({str(adapter_class(f"v{number}").api()) for number in range(1, 6)}) == 1


def test_the_manifest_of_the_weights_is_current():
    assert subprocess.run([sys.executable, HERE / "artifact.py", "--check"], check=False).returncode == 0
