"""Content hashes: the identity of versions and attempts, the same on every cluster and after every restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from pydantic import BaseModel

Frozen = TypeVar("Frozen", bound=BaseModel)
Value = TypeVar("Value")


def once(make: Callable[[Frozen], Value]) -> Callable[[Frozen], Value]:
    """For a pure function of one frozen object: its value stays with the object, which is looked at many times.

    As `functools.cached_property` keeps it, which pydantic leaves out of comparisons and dumps.
    """
    name = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def kept(model: Frozen) -> Value:
        known: dict[str, Any] = model.__dict__
        if name not in known:
            known[name] = make(model)
        value: Value = known[name]
        return value

    return kept


def wire(model: BaseModel) -> dict[str, Any]:
    """The model as it goes over the wire: camelCase, without what equals its default.

    Invariant: a release that adds a field with a default changes no hash, so no version is renamed, no pod restarted.
    """
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def digest(content: object) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
