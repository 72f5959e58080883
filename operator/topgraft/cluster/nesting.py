"""JSON of the API server, which takes objects that are nested ten thousand deep; Python's parser ends at a thousand."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

DEEPEST = 200
"""Levels that are read where there are too many. No object that the operator acts on has more than some dozens."""

# Up to the next bracket, over whole strings. Possessive: no text makes it try a character twice.
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]|\\.)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines without their ends; what comes after the last end is no line."""
    buffer = b""
    async for chunk in chunks:
        *whole, buffer = (buffer + chunk).split(b"\n")
        for line in whole:
            yield line


def loads(content: bytes) -> Any:
    """The value; what lies too deep to be parsed is null. Raises ValueError for what is no JSON."""
    try:
        return json.loads(content)
    except RecursionError:
        return json.loads(cut(content))


def cut(content: bytes) -> bytes:
    """The same JSON with null in the place of every value below `DEEPEST` levels."""
    kept: list[bytes] = []
    depth = start = place = 0
    while (found := _TO_BRACKET.match(content, place)) is not None:
        place = found.end()
        if found[1] in b"{[":
            depth += 1
            if depth == DEEPEST + 1:
                kept += content[start : place - 1], b"null"
        else:
            if depth == DEEPEST + 1:
                start = place
            depth -= 1
    return b"".join((*kept, content[start:])) if depth == 0 else b""
