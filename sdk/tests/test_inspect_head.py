"""`inspect` asks the class what becomes of the artifacts' head, where the version wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from topgraft_adapter import Api, Array, ModelAdapter, ModelStateReader
from topgraft_adapter.errors import FatalError
from topgraft_adapter.inspection import inspect_image


class Plain(ModelAdapter):
    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Plain:
        return cls()

    @classmethod
    def api(cls) -> Api:
        return {"x": Array("float", (-1,))}, {"y": Array("float", (-1,))}

    def predict(self, x: Any) -> Any:
        return x


class Headed(Plain):
    @classmethod
    def inspect_head(cls, state_reader: ModelStateReader) -> Mapping[str, Any]:
        with state_reader.open("head") as file:
            return {"from": file.read().decode(), "to": "B", "result": "Converted"}


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TOPGRAFT_ARTIFACT_DIR", str(tmp_path))

    def asked(class_name: str, mode: str = "") -> dict[str, Any]:
        monkeypatch.setenv("TOPGRAFT_ADAPTER", f"{__name__}:{class_name}")
        monkeypatch.setenv("TOPGRAFT_HEAD_CONVERSION", mode)
        return inspect_image()

    return asked


def test_a_conversion_that_is_asked_for_is_told(inspect: Any, tmp_path: Path) -> None:
    (tmp_path / "head").write_text("A")
    assert inspect("Headed", "Auto")["headConversion"] == {"from": "A", "to": "B", "result": "Converted"}


def test_nobody_asks_for_a_conversion_and_none_is_told(inspect: Any) -> None:
    assert "headConversion" not in inspect("Headed")


def test_a_class_without_a_say(inspect: Any) -> None:
    assert inspect("Plain", "Require")["headConversion"] is None


def test_artifacts_that_it_cannot_read(inspect: Any) -> None:
    with pytest.raises(FatalError, match="head") as error:
        inspect("Headed", "Auto")
    assert error.value.reason == "LoadFailed"
