"""Read-only access to the model artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from topgraft_adapter.errors import ArtifactPathError

_READING_MODES = frozenset({"r", "rb", "rt"})


class ModelStateReader:
    """The artifact directory of one model version, read-only.

    Paths are relative to the directory. A path that leaves it, by `..`, as an absolute path or through a symbolic
    link, is refused with `ArtifactPathError`. Links that stay inside are followed: mounted ConfigMaps consist of them.
    """

    def __init__(self, directory: str | Path) -> None:
        self._root = Path(directory).resolve(strict=True)
        if not self._root.is_dir():
            raise NotADirectoryError(f"The artifact directory {directory} is not a directory.")

    def open(self, path: str, mode: str = "rb") -> IO[Any]:
        """Open a file for reading. The caller closes it, best with `with`.

        Raises FileNotFoundError, ArtifactPathError, or ValueError for a mode that would write.
        """
        if mode not in _READING_MODES:
            raise ValueError(f"mode={mode!r}: artifacts are read-only; use 'rb' or 'r'.")
        target = self._inside(path)
        if not target.is_file():
            raise ArtifactPathError(f"{path!r} is not a file; use dir() for a directory.")
        return target.open(mode, encoding=None if "b" in mode else "utf-8")

    def dir(self, path: str = ".") -> str:
        """The absolute path of a directory, for libraries that read one by themselves.

        Raises FileNotFoundError or ArtifactPathError.
        """
        target = self._inside(path)
        if not target.is_dir():
            raise ArtifactPathError(f"{path!r} is not a directory; use open() for a file.")
        return str(target)

    def _inside(self, path: str) -> Path:
        try:
            target = (self._root / path).resolve(strict=True)
        except FileNotFoundError:
            if not (self._root / path).resolve().is_relative_to(self._root):
                raise ArtifactPathError(f"{path!r} leaves the artifact directory.") from None
            raise FileNotFoundError(f"{path!r} is not among the artifacts in {self._root}.") from None
        if not target.is_relative_to(self._root):
            raise ArtifactPathError(f"{path!r} leaves the artifact directory.")
        return target
