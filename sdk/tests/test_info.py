"""The infos of a version: always the newest, never a broken one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

import pytest

from topgraft_adapter import ModelAdapter
from topgraft_adapter.info import LiveInfo


class Mount:
    """A mounted ConfigMap as the kubelet keeps it: files are links through ..data, which is swapped as a whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0

    def show(self, **files: object) -> None:
        self._count += 1
        new = self.directory / f"..{self._count}"
        new.mkdir()
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (new / f"{name}-info.json").write_text(text)
            link = self.directory / f"{name}-info.json"
            if not link.is_symlink():
                link.symlink_to(f"..data/{link.name}")
        (self.directory / "..next").symlink_to(new.name)
        os.replace(self.directory / "..next", self.directory / "..data")


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


def test_params_are_the_newest_at_each_look(mount: Mount) -> None:
    mount.show(output={"params": {"threshold": "0.5"}})
    info = LiveInfo(mount.directory)
    assert info.params == {"threshold": "0.5"}
    mount.show(output={"params": {"threshold": "0.9"}, "outputConfig": {"maxConcepts": 3}})
    assert info.params == {"threshold": "0.9"}
    assert info.output_info["outputConfig"] == {"maxConcepts": 3}
    mount.show()
    assert info.params == {}


def test_params_have_the_types_that_their_specs_name(mount: Mount) -> None:
    values = {"i": "5", "n": "1e-3", "b": "false", "j": "[1]", "s": "5", "other": "5"}
    kinds = {"i": "Integer", "n": "Number", "b": "Boolean", "j": "Json", "s": "String"}
    specs = [*({"name": name, "type": kind} for name, kind in kinds.items()), {"name": "unknown", "type": "Later"}]
    mount.show(output={"params": values, "paramsSpecs": specs})
    assert LiveInfo(mount.directory).params == {"i": 5, "n": 0.001, "b": False, "j": [1], "s": "5", "other": "5"}


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        '"text"',
        {"params": ["a"]},
        {"params": {"j": "{"}, "paramsSpecs": [{"name": "j", "type": "Json"}]},
        {"params": {"b": "yes"}, "paramsSpecs": [{"name": "b", "type": "Boolean"}]},
        {"paramsSpecs": [{}]},
    ],
    ids=str,
)
def test_a_broken_info_leaves_the_last_one(mount: Mount, broken: object) -> None:
    mount.show(output={"params": {"a": "1"}})
    info = LiveInfo(mount.directory)
    assert info.params == {"a": "1"}
    mount.show(output=broken)
    assert info.params == {"a": "1"}
    mount.show(output={"params": {"a": "2"}})
    assert info.params == {"a": "2"}


def test_what_is_read_cannot_be_changed(mount: Mount) -> None:
    mount.show(output={"params": {"a": "1"}}, input={"params": {"scale": "16"}})
    info = LiveInfo(mount.directory)
    for read in (info.params, info.output_info, info.input_info):
        with pytest.raises(TypeError):
            read["a"] = "2"  # type: ignore[index]


class Adapter(ModelAdapter):
    @classmethod
    def load(cls, state_reader: Any) -> Self:
        return cls()

    @classmethod
    def api(cls) -> Any:
        return {}, {}

    def predict(self) -> Any:
        return self.params


def test_an_adapter_reads_them(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount.show(output={"params": {"a": "1"}}, input={"params": {"scale": "16"}})
    monkeypatch.setenv("TOPGRAFT_INFO_DIR", str(mount.directory))
    adapter = Adapter()
    assert adapter.predict() == {"a": "1"}
    assert adapter.input_info == {"params": {"scale": "16"}}
    mount.show(output={"params": {"a": "2"}})
    assert adapter.predict() == {"a": "2"}


def test_without_a_directory_all_of_them_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOPGRAFT_INFO_DIR", raising=False)
    adapter = Adapter()
    assert (adapter.params, adapter.output_info, adapter.input_info) == ({}, {}, {})
