"""FileSystem inputs and outputs: a few files by relative path, on the wire in base64."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from topgraft_adapter.errors import ArtifactPathError, InvalidInputError, OutputError
from topgraft_adapter.state import ModelStateReader, ModelStateWriter

MAX_FILES = 1000


def read_files(name: str, value: object, stack: ExitStack) -> ModelStateReader:
    """The files of an input in a directory that the stack removes. Raises InvalidInputError."""
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidInputError(
            f"The input {name!r} must be an object of base64 contents by relative path.", "invalidMapFormat"
        )
    if len(value) > MAX_FILES:
        raise InvalidInputError(f"The input {name!r} has {len(value)} files, more than {MAX_FILES}.")
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="input-", ignore_cleanup_errors=True))
    writer = ModelStateWriter(directory)
    for path, text in value.items():
        try:
            content = base64.b64decode(text, validate=True)
            with writer.open(path) as file:
                file.write(content)
        except (binascii.Error, ValueError) as error:
            raise InvalidInputError(f"The input {name!r}, file {path[:100]!r}: no base64.") from error
        except (ArtifactPathError, OSError) as error:
            raise InvalidInputError(f"The input {name!r}, file {path[:100]!r}: the path cannot be used.") from error
    return ModelStateReader(directory)


def written_files(name: str, value: Any) -> dict[str, str]:
    """What an adapter gave for a FileSystem output: bytes by path, or the path of a directory. Raises OutputError."""
    try:
        found = dict(_contents(value))
    except (OSError, TypeError, ArtifactPathError) as error:
        raise OutputError(f"The output {name!r}: give bytes by relative path, or a directory: {error}.") from error
    if len(found) > MAX_FILES:
        raise OutputError(f"The output {name!r} has more than {MAX_FILES} files.")
    return {path: base64.b64encode(content).decode() for path, content in found.items()}


def _contents(value: Any) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, Mapping):
        for path, content in value.items():
            yield str(path), bytes(memoryview(content))
        return
    root = Path(value).resolve(strict=True)
    for file in sorted(root.rglob("*")):
        if file.is_file():
            if not file.resolve().is_relative_to(root):
                raise ArtifactPathError(f"{file} leaves the directory")
            yield str(file.relative_to(root)), file.read_bytes()


class OutputFiles:
    """Where `run_inference` puts the files of a FileSystem output."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        self._name = name
        self._stack = stack
        self._given: Any = None
        self._writer: ModelStateWriter | None = None
        self._directory = ""

    def write(self, value: Any) -> None:
        """Give all files at once: bytes by relative path, or the path of a directory."""
        self._given = value

    @contextmanager
    def open(self, path: str, mode: str = "wb") -> Iterator[IO[Any]]:
        """A new file of this output, within `with`. Raises ArtifactPathError, FileExistsError or ValueError."""
        with self._to().open(path, mode) as file:
            yield file

    def put_file(self, local: str | Path, asset: str | None = None) -> None:
        """Copy a file to the path `asset` (default: its own name)."""
        self._to().put_file(local, asset)

    def value(self) -> Any:
        """What was given, None when nothing was."""
        return self._given if self._writer is None else self._directory

    def _to(self) -> ModelStateWriter:
        if self._writer is None:
            made = tempfile.TemporaryDirectory(prefix="output-", ignore_cleanup_errors=True)
            self._directory = self._stack.enter_context(made)
            self._writer = ModelStateWriter(self._directory)
        return self._writer
