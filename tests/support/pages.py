"""The YAML that pages show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_FENCED = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fenced(page: Path) -> Iterator[tuple[int, str]]:
    """(its line, its text) of each fenced block of YAML."""
    text = page.read_text()
    for block in _FENCED.finditer(text):
        yield text[: block.start()].count("\n") + 1, block[1]
