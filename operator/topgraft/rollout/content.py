"""Content hashes: the identity of versions and attempts, the same on every cluster and after every restart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def wire(model: BaseModel) -> dict[str, Any]:
    """The model as it goes over the wire: camelCase, without what equals its default.

    Invariant: a release that adds a field with a default changes no hash, so no version is renamed, no pod restarted.
    """
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def digest(content: object) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
