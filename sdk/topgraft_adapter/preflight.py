"""`topgraft-adapter preflight`: load the artifacts here and now, and answer a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from topgraft_adapter.api import NO_DEFAULT, ApiItem, Array, FileSystem, Object, Parameter, Tabular
from topgraft_adapter.contract import find_contract
from topgraft_adapter.datatypes import DataType, kind_of
from topgraft_adapter.errors import FatalError, describe
from topgraft_adapter.inference import Target
from topgraft_adapter.loading import load
from topgraft_adapter.settings import readable_artifact_dir
from topgraft_adapter.transform import transform

SAMPLE_FAILED = 4

_ZEROS: dict[str, Any] = {
    "boolean": False,
    "string": "",
    "integer": 0,
    "long": 0,
    "float": 0,
    "double": 0,
    "date": "2026-01-31",
    "timestamp": "2026-01-31T12:00:00Z",
    "any": None,
    "array": [],
    "map": {},
}


def preflight(sample: Path | None) -> dict[str, Any]:
    """Import, load, answer. Raises FatalError: as `inspect` and `serve`, or SampleFailed."""
    contract = find_contract()
    given = read_sample(sample) if sample else None
    began = monotonic()
    adapter = load(contract, readable_artifact_dir())
    loaded = monotonic()
    target = Target(adapter, contract.api, "preflight", "preflight")
    body = given or {"input": zeros(contract.api[0])}
    try:
        answer = transform(target, json.dumps(body).encode())
    except Exception as error:
        what = "the sample" if sample else "a sample of zeros; give one that makes sense by --sample FILE"
        raise FatalError("SampleFailed", f"{what}: {describe(error)}", SAMPLE_FAILED) from error
    return {
        "module": contract.module,
        "className": contract.class_name,
        "loadSeconds": round(loaded - began, 3),
        "answerSeconds": round(monotonic() - loaded, 3),
        "answer": json.loads(answer.body),
    }


def read_sample(path: Path) -> dict[str, Any]:
    """A body of /transformJson. Raises FatalError: SettingInvalid."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FatalError("SettingInvalid", f"--sample {path}: {describe(error)}", exit_code=2) from error
    if not isinstance(found, dict) or not isinstance(found.get("input"), dict):
        message = f'--sample {path}: must hold {{"input": {{name: value}}}}, as /transformJson takes it.'
        raise FatalError("SettingInvalid", message, exit_code=2)
    return found


def zeros(inputs: Mapping[str, ApiItem]) -> dict[str, Any]:
    """A value of the right type for every input that is required: zeros, one row."""
    return {name: _zero(item) for name, item in inputs.items() if item.required}


def _zero(item: ApiItem) -> Any:
    match item:
        case Parameter():
            return _of(item.data_type) if item.default is NO_DEFAULT else item.default
        case Array():
            value = _of(item.data_type)
            for length in reversed(item.shape):
                value = [value] * (1 if length == -1 else length)
            return value
        case Tabular():
            return [{column.name: _of(column.data_type) for column in item.columns}]
        case Object() | FileSystem():
            return {}


def _of(data_type: DataType) -> Any:
    return _ZEROS[kind_of(data_type).name]
