"""What users copy holds to the schema: the examples, the samples, and every whole object in a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import fenced
from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.meta import API_VERSION
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion

ROOT = Path(__file__).parents[2]
SERVER_SETS = {"namespace": "n", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}


def texts() -> Iterator[tuple[str, str]]:
    """(where, YAML) of every file and every fenced block."""
    for pattern in ("examples/*/*.yaml", "manifests/samples/*.yaml"):
        for path in ROOT.glob(pattern):
            yield str(path.relative_to(ROOT)), path.read_text()
    for pattern in ("*.md", "docs/*.md", "examples/*/*.md", "charts/*/*.md", "sdk/*.md", "sdk/transformers/*.md"):
        for path in ROOT.glob(pattern):
            for line, text in fenced(path):
                yield f"{path.relative_to(ROOT)}:{line}", text


def objects() -> Iterator[Any]:
    for where, text in texts():
        if API_VERSION in text:
            for body in yaml.safe_load_all(text):
                if body and body.get("apiVersion") == API_VERSION:
                    yield pytest.param(body, id=f"{where} {body['kind']}")


def unknown(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """Fields of `given` that the model left out: it is forgiving about what it does not know."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in read:
                yield f"{path}.{name}"
            else:
                yield from unknown(value, read[name], f"{path}.{name}")
    elif isinstance(given, list):
        for value, one in zip(given, read, strict=True):
            yield from unknown(value, one, f"{path}[]")


@pytest.mark.parametrize("body", list(objects()))
def test_an_object_that_users_copy_is_valid(body: dict[str, Any]) -> None:
    kinds = {kind.__name__: kind for kind in (Model, ModelVersion, AdapterUpgrade)}
    read = kinds[body["kind"]].model_validate({**body, "metadata": body["metadata"] | SERVER_SETS})
    dumped = read.model_dump(by_alias=True, exclude_unset=True)
    assert list(unknown(body["spec"], dumped["spec"])) == []
