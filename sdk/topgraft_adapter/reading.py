"""JSON as a client sends it, read only while what becomes of it stays in proportion to its bytes."""

from __future__ import annotations

import re
from typing import Any

import orjson

from topgraft_adapter.errors import InvalidInputError

MAX_CONTAINERS = 200_000
"""Lists and objects in one body: an empty one takes two bytes of JSON, and up to seventy of memory."""

# The end of the quotes is optional so that text without one ends at the end of the body: each start is tried once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def read_json(body: bytes) -> Any:
    """The value of the JSON text; deeper than 1,024 levels orjson does not read. Raises InvalidInputError."""
    if len(body) > MAX_CONTAINERS and _too_many(body):
        raise InvalidInputError(
            f"The body has more than {MAX_CONTAINERS} lists and objects; send fewer rows at once, or flat `data`."
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"The body is not valid JSON: {error.msg}, at character {error.pos}.") from None


def _too_many(body: bytes) -> bool:
    # Brackets inside of texts are no containers, but to leave them out costs more: only where they matter.
    return _brackets(body) > MAX_CONTAINERS and _brackets(_STRING.sub(b"", body)) > MAX_CONTAINERS


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")
