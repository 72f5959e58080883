"""The files of PEFT adapters, real ones: made by the library that the world reads them with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from topgraft.checks.peft import Asked, Files, Found, Inspection, answer, run, tail

LAYERS = [f"model.layers.{i}.self_attn.{p}_proj" for i in range(2) for p in "qv"]
Shapes = Mapping[str, tuple[int, ...]]


def base(place: Path, modules: list[str] = LAYERS, size: tuple[int, int] = (32, 16), file: str = "model") -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text("{}")
    save_file({f"{m}.weight": np.zeros(size, np.float16) for m in modules}, place / f"{file}.safetensors")


def lora(
    place: Path, modules: list[str] = LAYERS, size: tuple[int, int] = (32, 16), rank: int = 4, **config: Any
) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    said = {
        "peft_type": "LORA",
        "r": rank,
        "target_modules": ["v_proj", "q_proj"],
        "base_model_name_or_path": "org/base",
    }
    (place / "adapter_config.json").write_text(json.dumps({**said, **config}))
    tensors = {}
    for module in modules:
        tensors[f"base_model.model.{module}.lora_A.weight"] = np.zeros((rank, size[1]), np.float32)
        tensors[f"base_model.model.{module}.lora_B.weight"] = np.zeros((size[0], rank), np.float32)
    save_file(tensors, place / "adapter_model.safetensors")
    return place


def look(root: Path, location: str = "adapters/sql", kind: str = "project", hub: str = "") -> Found:
    return Inspection(Files({"weights": str(root)})).look(Asked(kind, "sql", location, hub))


def error(found: Found) -> tuple[str, str]:
    assert found.error is not None
    return found.error["reason"], found.error["message"]


def test_configuration_and_headers_are_read(tmp_path: Path) -> None:
    base(tmp_path / "base")
    lora(tmp_path / "adapters/sql")
    found = look(tmp_path)
    assert found == Found(True, "LORA", "org/base", 4, ["q_proj", "v_proj"], 4, 4)
    assert look(tmp_path, str(tmp_path / "adapters/sql")) == found, "an absolute path below the mount"
    assert look(tmp_path, "adapters/./sql/") == found


OUTSIDE = ["adapters/none", "base/model.safetensors", "/etc", "..", "adapters/link", "\0", "~"]


@pytest.mark.parametrize("location", OUTSIDE)
def test_what_is_no_directory_of_the_artifacts_is_told(tmp_path: Path, location: str) -> None:
    root = tmp_path / "volume"
    base(root / "base")
    lora(root / "adapters/sql")
    lora(tmp_path / "outside")
    (root / "adapters/link").symlink_to(tmp_path / "outside")
    assert look(root, location) == Found(directory=False)


@pytest.mark.parametrize(
    ("modules", "matched"),
    [
        (LAYERS, 4),
        ([m.replace("model.", "model.language_model.") for m in LAYERS], 4),
        ([m.removeprefix("model.") for m in LAYERS], 4),
        ([LAYERS[0], "model.layers.9.self_attn.q_proj"], 1),
    ],
    ids=["the same", "another class", "without the class", "partly"],
)
def test_modules_are_found_whatever_stands_before_their_layer(tmp_path: Path, modules: list[str], matched: int) -> None:
    base(tmp_path / "base")
    lora(tmp_path / "adapters/sql", modules)
    found = look(tmp_path)
    assert (found.modules, found.matched, found.error) == (len(modules), matched, None)


@pytest.mark.parametrize(
    ("modules", "size"),
    [([f"transformer.h.{i}.attn.c_attn" for i in range(2)], (32, 16)), (LAYERS, (64, 64)), (["layers"], (32, 16))],
    ids=["other names", "other shapes", "no layer"],
)
def test_a_lora_that_fits_no_module_of_the_base_is_refused(
    tmp_path: Path, modules: list[str], size: tuple[int, int]
) -> None:
    base(tmp_path / "base")
    lora(tmp_path / "adapters/sql", modules, size)
    reason, text = error(look(tmp_path))
    assert reason == "AdapterMatchesNothing"
    assert modules[0] in text
    assert LAYERS[0] in text


def test_a_weight_that_lies_the_other_way_fits_too(tmp_path: Path) -> None:
    base(tmp_path / "base", size=(16, 32))
    lora(tmp_path / "adapters/sql", size=(32, 16))
    assert look(tmp_path).matched == 4


def test_packed_integers_of_a_quantised_base_are_compared_by_name(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    packed = {f"{m}.qweight": np.zeros((2, 3), np.int32) for m in LAYERS}
    save_file(packed, tmp_path / "base/model.safetensors")
    lora(tmp_path / "adapters/sql")
    assert look(tmp_path).matched == 4


def test_embeddings_and_named_adapters_count(tmp_path: Path) -> None:
    base(tmp_path / "base", ["model.embed_tokens", LAYERS[0]], (100, 16))
    place = lora(tmp_path / "adapters/sql", [])
    tensors = {
        "base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((4, 100), np.float32),
        "base_model.model.model.embed_tokens.lora_embedding_B": np.zeros((16, 4), np.float32),
        f"base_model.model.{LAYERS[0]}.lora_A.default.weight": np.zeros((4, 16), np.float32),
        f"base_model.model.{LAYERS[0]}.lora_B.default.weight": np.zeros((100, 4), np.float32),
        "base_model.model.lm_head.weight": np.zeros((4, 4), np.float32),
    }
    save_file(tensors, place / "adapter_model.safetensors")
    found = look(tmp_path)
    assert (found.modules, found.matched) == (2, 2)


def test_the_base_that_the_configuration_names_is_compared_with(tmp_path: Path) -> None:
    base(tmp_path / "other", ["transformer.h.0.attn.c_attn"])
    base(tmp_path / "base", LAYERS[:2], file="model-00001-of-00002")
    base(tmp_path / "base", LAYERS[2:], file="model-00002-of-00002")
    lora(tmp_path / "adapters/sql", base_model_name_or_path="org/base")
    lora(tmp_path / "adapters/gpt", base_model_name_or_path="/elsewhere/other/")
    assert look(tmp_path).matched == 4
    assert error(look(tmp_path, "adapters/gpt"))[0] == "AdapterMatchesNothing"


def test_without_base_weights_nothing_is_compared(tmp_path: Path) -> None:
    lora(tmp_path / "adapters/sql")
    lora(tmp_path / "adapters/two")
    assert (look(tmp_path).modules, look(tmp_path).matched) == (4, None)
    (tmp_path / "model.safetensors").write_bytes(b"of a kind that we do not know")
    assert look(tmp_path).matched is None


def test_pickles_are_not_opened_and_other_kinds_of_adapters_not_compared(tmp_path: Path) -> None:
    base(tmp_path / "base")
    place = lora(tmp_path / "adapters/sql")
    (place / "adapter_model.safetensors").rename(place / "adapter_model.bin")
    found = look(tmp_path)
    assert (found.peft_type, found.rank, found.modules, found.error) == ("LORA", 4, None, None)
    lora(place, ["x"], peft_type="IA3", target_modules=None)
    found = look(tmp_path)
    assert (found.peft_type, found.target_modules, found.modules, found.error) == ("IA3", [], None, None)


def cut(place: Path) -> None:
    path = place / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def pipe(place: Path) -> None:
    (place / "adapter_config.json").unlink()
    os.mkfifo(place / "adapter_config.json")


BROKEN: dict[str, Callable[[Path], object]] = {
    "no configuration": lambda p: (p / "adapter_config.json").unlink(),
    "a pipe": pipe,
    "no JSON": lambda p: (p / "adapter_config.json").write_text("{"),
    "nested too deep": lambda p: (p / "adapter_config.json").write_text("[" * 100_000),
    "no object": lambda p: (p / "adapter_config.json").write_text("[]"),
    "too long": lambda p: (p / "adapter_config.json").write_text(" " * 1_100_000),
    "no weights": lambda p: (p / "adapter_model.safetensors").unlink(),
    "cut weights": cut,
    "a huge header": lambda p: (p / "adapter_model.safetensors").write_bytes(b"\xff" * 64),
    "a link out": lambda p: (
        (p / "adapter_config.json").unlink(),
        (p / "adapter_config.json").symlink_to("/etc/hostname"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_directory_that_is_no_adapter_is_told_and_nothing_hangs(tmp_path: Path, case: str) -> None:
    BROKEN[case](lora(tmp_path / "adapters/sql"))
    reason, text = error(look(tmp_path))
    assert reason == "AdapterUnreadable"
    assert "adapter" in text
    assert len(text) < 500


def test_odd_values_in_the_configuration_are_left_out(tmp_path: Path) -> None:
    odd = {"r": "4", "peft_type": 7, "base_model_name_or_path": ["x"], "target_modules": "all-linear\x1b[31m"}
    lora(tmp_path / "adapters/sql", **odd)
    found = look(tmp_path)
    assert (found.rank, found.peft_type, found.base_model) == (None, "UNKNOWN", None)
    assert found.target_modules == ["all-linear\\x1b[31m"]


class TestMirror:
    """An adapter of the Hub is found in a volume, or not at all."""

    @pytest.mark.parametrize("place", ["org/sql", "hub/org/sql"])
    def test_by_its_name(self, tmp_path: Path, place: str) -> None:
        lora(tmp_path / place)
        assert look(tmp_path, "", "huggingface", "org/sql").rank == 4

    @pytest.mark.parametrize("root", ["", "hub"])
    def test_as_the_hubs_client_keeps_it(self, tmp_path: Path, root: str) -> None:
        kept = tmp_path / root / "models--org--sql"
        lora(kept / "snapshots/abc")
        assert look(tmp_path, "", "huggingface", "org/sql").rank == 4, "the only revision"
        lora(kept / "snapshots/def", rank=8)
        assert error(look(tmp_path, "", "huggingface", "org/sql"))[0] == "FetchFailed", "which one is not known"
        (kept / "refs").mkdir()
        (kept / "refs/main").write_text("def\n")
        assert look(tmp_path, "", "huggingface", "org/sql").rank == 8

    @pytest.mark.parametrize("name", ["org/none", "../outside", "a/../../b", "/etc", "a/b/c", ".", "x" * 300])
    def test_what_is_not_there_is_not_fetched(self, tmp_path: Path, name: str) -> None:
        lora(tmp_path / "outside")
        (tmp_path / "volume").mkdir()
        reason, text = error(look(tmp_path / "volume", "", "huggingface", name))
        assert reason == "FetchFailed"
        assert "nothing is fetched" in text

    def test_a_registered_model_has_no_files(self, tmp_path: Path) -> None:
        assert look(tmp_path, "", "model_registry") == Found()


def test_the_answer_of_many_adapters_fits_into_a_termination_message() -> None:
    long = Found(True, "L" * 32, "b" * 256, 2**31 - 1, ["m" * 128] * 16, 10**6, 10**6)
    bad = Found(True, error={"reason": "AdapterMatchesNothing", "message": "語" * 600})
    for found in ([long] * 32, [bad] * 32, [bad, *[long] * 31]):
        text = answer(found)
        assert len(text.encode()) <= 4096
        assert len(json.loads(text)["adapters"]) == 32


def test_the_command_leaves_its_answer_in_the_termination_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lora(tmp_path / "a")
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("TOPGRAFT_TERMINATION_LOG", str(log))
    assert run({"w": str(tmp_path)}, '[{"type":"project","location":"a"},{"type":"project","location":"b"}]') == 0
    said = json.loads(log.read_text())["adapters"]
    assert (said[0]["rank"], said[1]) == (4, {"directory": False})
    assert capsys.readouterr().out.strip() == log.read_text()
    assert run({"w": str(tmp_path)}, '{"no": "list"}') == 2


@pytest.mark.parametrize(
    ("module", "end"),
    [
        ("model.layers.0.q", "layers.0.q"),
        ("0.q", "0.q"),
        ("lm_head", "lm_head"),
        ("model.embed_tokens", "embed_tokens"),
    ],
)
def test_the_end_of_a_name(module: str, end: str) -> None:
    assert tail(module) == end
