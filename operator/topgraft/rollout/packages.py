"""The list of packages in an adapter's answer. Nobody vouches for it: lengths are bounded, what is odd is left out."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")
LINE_LIMIT = 256
COUNT_LIMIT = 4096
UNPACKED_LIMIT = 256 * 1024
"""Bytes: some thousand lines. A termination message of 4 KiB can hold the packed form of much more."""


def packages_in(answer: dict[str, Any]) -> list[str] | None:
    """Lines `name==version`, from `requirements` or, where that was too long, from `requirementsPacked` (zlib, base64).

    None where the answer has neither, or nothing that can be read.
    """
    lines = answer.get("requirements")
    if lines is None and isinstance(packed := answer.get("requirementsPacked"), str):
        lines = _unpacked(packed)
    if not isinstance(lines, list):
        return None
    fit = (line for line in lines[:COUNT_LIMIT] if isinstance(line, str) and len(line) <= LINE_LIMIT)
    return [line for line in fit if _LINE.fullmatch(line)]


def _unpacked(packed: str) -> list[str] | None:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(base64.b64decode(packed, validate=True), UNPACKED_LIMIT)
        return text.decode().split("\n") if stream.eof else None
    except (ValueError, zlib.error):
        return None
