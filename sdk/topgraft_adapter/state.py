"""Access to the model artifacts: read-only when serving, written once when a model is saved."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from topgraft_adapter.errors import ArtifactPathError

_READING_MODES = frozenset({"r", "rb", "rt"})
_WRITING_MODES = frozenset({"w", "wb", "wt"})


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

    def extract(self, destination: str | Path, path: str = ".") -> None:
        """Copy the artifacts, or a directory of them, into a directory, for libraries that write beside what they read.

        The directory is made if need be; links are copied as what they lead to. Raises FileNotFoundError,
        ArtifactPathError for a link that leaves the artifacts or a file that is neither file nor directory, or
        FileExistsError where the destination has such a file.
        """
        source, target = Path(self.dir(path)), Path(destination)
        target.mkdir(parents=True, exist_ok=True)
        if target.resolve().is_relative_to(source):
            raise ArtifactPathError(f"{destination} lies inside of what is copied.")
        for file in _files(source, self._root, frozenset()):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as content, copy.open("xb") as made:
                shutil.copyfileobj(content, made)

    def extract_to_temp_dir(self, root_dir: str | Path | None = None) -> str:
        """Copy all artifacts into a new directory below `root_dir` (default: the system's) and return its path.

        The caller removes it. Raises as `extract`.
        """
        made = tempfile.mkdtemp(prefix="artifacts-", dir=root_dir)
        try:
            self.extract(made)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        return made

    def _inside(self, path: str) -> Path:
        if "\0" in path:
            raise ArtifactPathError(f"{path!r} holds a zero byte.")
        try:
            target = (self._root / path).resolve(strict=True)
        except FileNotFoundError:
            if not (self._root / path).resolve().is_relative_to(self._root):
                raise ArtifactPathError(f"{path!r} leaves the artifact directory.") from None
            raise FileNotFoundError(f"{path!r} is not among the artifacts in {self._root}.") from None
        except (OSError, RuntimeError) as error:  # a ring of links, a name too long, a file in place of a directory
            raise ArtifactPathError(f"{path[:200]!r} cannot be resolved: {error}.") from None
        if not target.is_relative_to(self._root):
            raise ArtifactPathError(f"{path!r} leaves the artifact directory.")
        return target


def _files(directory: Path, root: Path, above: frozenset[Path]) -> Iterator[Path]:
    """All files below, links followed as long as they stay below the root and run in no ring."""
    here = directory.resolve()
    if here in above:
        raise ArtifactPathError(f"{directory} is a link to a directory above it.")
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        # What a mounted ConfigMap keeps beside its links: every file would come twice.
        if entry.name.startswith("..") or (entry.name == "lost+found" and here == root):
            continue
        path = Path(entry.path)
        if not path.resolve().is_relative_to(root):
            raise ArtifactPathError(f"{path} leaves the artifact directory.")
        if path.is_dir():
            yield from _files(path, root, above | {here})
        elif path.is_file():
            yield path
        else:
            raise ArtifactPathError(f"{path} is neither file nor directory.")


class ModelStateWriter:
    """A directory that `save()` fills, from which a volume or an image of artifacts is made.

    Paths are relative to the directory; one that leaves it is refused with `ArtifactPathError`, and so is a file that
    was written before: artifacts are written once.
    """

    def __init__(self, directory: str | Path) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        self._root = Path(directory).resolve(strict=True)

    @contextmanager
    def open(self, path: str, mode: str = "wb") -> Iterator[IO[Any]]:
        """A new file to write, within `with`; directories on the way are made.

        Raises ArtifactPathError, FileExistsError, or ValueError for another mode than w, wb.
        """
        if mode not in _WRITING_MODES:
            raise ValueError(f"mode={mode!r}: a file of artifacts is written once; use 'wb' or 'w'.")
        target = self._new(path)
        with target.open(mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file

    def put_file(self, local: str | Path, asset: str | None = None) -> None:
        """Copy a file to the path `asset` (default: its own name). Raises as `open`, or FileNotFoundError."""
        with Path(local).open("rb") as content, self.open(asset or Path(local).name) as made:
            shutil.copyfileobj(content, made)

    def put_directory(self, local: str | Path, asset: str = "/") -> None:
        """Copy what a directory holds to the path `asset`, where "/" is the root of the artifacts.

        Raises as `open`, FileNotFoundError, or ArtifactPathError for a link that leaves the local directory.
        """
        source = Path(local).resolve(strict=True)
        place = Path(asset.lstrip("/"))
        for file in _files(source, source, frozenset()):
            self.put_file(file, str(place / file.relative_to(source)))

    def _new(self, path: str) -> Path:
        if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
            raise ArtifactPathError(f"{path!r} must be a relative path without '..'.")
        target = self._root / path
        if not target.parent.resolve().is_relative_to(self._root):
            raise ArtifactPathError(f"{path!r} leaves the directory through a link.")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
