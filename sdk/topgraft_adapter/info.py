"""The infos of the model version as they are now: they can be changed while the server runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from topgraft_adapter.logs import log

DIRECTORY_VARIABLE = "TOPGRAFT_INFO_DIR"

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_READ: dict[str, Callable[[str], Any]] = {
    "Integer": int,
    "Number": float,
    "Boolean": lambda text: {"true": True, "false": False}[text],
    "Json": orjson.loads,
}


class LiveFile:
    """A JSON object in a file that somebody else replaces now and then. Reading costs one `stat` while it is the same.

    A file that is gone is an empty object; one that cannot be read leaves what was read before. Any thread may ask.
    """

    def __init__(self, path: Path, convert: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> None:
        self._path = path
        self._convert = convert
        # The mark and the object go together: a thread that reads sees both of one reading.
        self._seen: tuple[object, Mapping[str, Any]] = (None, _EMPTY)

    def read(self) -> Mapping[str, Any]:
        """The object; it cannot be changed."""
        mark, known = self._seen
        try:
            stat = os.stat(self._path)
            now: object = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except OSError:
            now = None
        if now == mark:
            return known
        try:
            read = self._convert(orjson.loads(self._path.read_bytes())) if now is not None else {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log(logging.ERROR, "cannot read an info; the last one stays", error, file=self._path.name)
        else:
            known = MappingProxyType(read)
            if mark is not None or now is None:
                log(logging.INFO, "an info has changed", file=self._path.name)
        self._seen = (now, known)
        return known


class LiveInfo:
    """What the ModelVersion tells beside its artifacts: its `outputInfo` and `inputInfo`."""

    def __init__(self, directory: Path) -> None:
        self._output = LiveFile(directory / "output-info.json", _with_params)
        self._input = LiveFile(directory / "input-info.json")

    @property
    def output_info(self) -> Mapping[str, Any]:
        """`outputInfo` as in the ModelVersion, but its params as values of the types that paramsSpecs name."""
        return self._output.read()

    @property
    def input_info(self) -> Mapping[str, Any]:
        """`inputInfo` as it stands in the ModelVersion."""
        return self._input.read()

    @property
    def params(self) -> Mapping[str, Any]:
        """The params of `outputInfo` by name."""
        return MappingProxyType(self.output_info.get("params", {}))


def live_info() -> LiveInfo:
    """The infos in the directory that the environment names; without one all of them are empty."""
    return LiveInfo(Path(os.environ.get(DIRECTORY_VARIABLE) or os.devnull))


def _with_params(info: dict[str, Any]) -> dict[str, Any]:
    types = {spec["name"]: spec.get("type", "String") for spec in info.get("paramsSpecs", ())}
    params = {name: _value(text, types.get(name, "String")) for name, text in info.get("params", {}).items()}
    return {**info, "params": params}


def _value(text: str, kind: str) -> Any:
    return _READ[kind](text) if kind in _READ else text
