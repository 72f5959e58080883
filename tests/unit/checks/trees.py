"""Trees for the tests of the digest, and a second, naive way to compute it."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def write(root: Path, files: Mapping[bytes, bytes]) -> Path:
    """Create files below a directory, given as relative path → content."""
    root.mkdir(exist_ok=True)
    for path, content in files.items():
        whole = os.path.join(os.fsencode(root), path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(content)
    return root


def naive_digest(volumes: Mapping[str, Mapping[bytes, bytes]]) -> str:
    """The digest of volumes of plain files, straight from its definition."""
    lines = []
    for volume in sorted(volumes):
        for path, content in sorted(volumes[volume].items()):
            sha256 = hashlib.sha256(content).hexdigest().encode()
            lines += [b"file", volume.encode(), path, str(len(content)).encode(), sha256]
    return "sha256:" + hashlib.sha256(b"".join(field + b"\0" for field in lines)).hexdigest()
