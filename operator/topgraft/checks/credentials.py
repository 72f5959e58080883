"""What pull secrets say about a registry. They are mounted into the pod that asks; nothing else reads them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = (".dockerconfigjson", ".dockercfg", "config.json")
HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
MAX_BYTES = 1 << 20


def authorization(directory: Path, host: str, repository: str) -> str:
    """The text of `user:password` for a repository, in base64, or "" where no secret below `directory` has it.

    As the kubelet does it: an entry may name a registry or a path in it, and the longest that fits counts.
    """
    name = f"{'docker.io' if host in HUB else host}/{repository}"
    fitting = [(len(key), value) for key, value in _entries(directory) if (name + "/").startswith(key + "/")]
    return max(fitting)[1] if fitting else ""


def _entries(directory: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(path for folder in directory.glob("*") for name in FILES if (path := folder / name).is_file()):
        try:
            with file.open("rb") as opened:
                told = json.loads(opened.read(MAX_BYTES))
        except (OSError, ValueError):
            continue
        auths = told.get("auths", told) if isinstance(told, dict) else {}
        for key, entry in auths.items() if isinstance(auths, dict) else ():
            if isinstance(entry, dict) and (value := _value(entry)):
                yield _canonical(key), value


def _value(entry: dict[str, Any]) -> str:
    given = entry.get("auth")
    if isinstance(given, str) and given:
        try:
            return given if b":" in base64.b64decode(given, validate=True) else ""
        except (binascii.Error, ValueError):
            return ""
    user, password = entry.get("username"), entry.get("password")
    if not isinstance(user, str) or not isinstance(password, str):
        return ""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _canonical(key: str) -> str:
    host, _, path = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    first, _, rest = path.strip("/").partition("/")
    # docker login writes keys such as https://index.docker.io/v1/
    path = rest if first in ("v1", "v2") else path.strip("/")
    host = "docker.io" if host in HUB else host
    return f"{host}/{path}" if path else host
