"""The golden file: JSON lines, one recorded request each, checked whole before the first one is sent.

    {"id": "ink-17", "body": {"inputs": [...]}, "label": 8}

`body` is what is sent: an object or array, or a string that is sent as it is. `id`, `path` and `label` are optional.
The first requests are kept in memory, of the others only where their lines begin.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from topgraft.checks.failure import CheckError, printable

MAX_REQUESTS = 200_000
MAX_LINE_BYTES = 4 << 20
MAX_FILE_BYTES = 4 << 30
KEPT_BYTES = 64 << 20
_SHOWN = 80
_ID_CHARACTERS = 128
_FIELDS = {"id", "path", "body", "label"}

Label = str
Labels = tuple[Label, ...]
"""One for each row of a request's batch."""


class GoldenRequest(NamedTuple):
    """One line. `name` is its id, or `line 7`; `labels` is None where there are none; `path` is empty by default."""

    name: str
    path: str
    body: bytes
    labels: Labels | None


class GoldenFile:
    """An open golden file whose every line is valid."""

    def __init__(self, path: str, may_change: frozenset[str] = frozenset()) -> None:
        """Check the file; raises CheckError that names the line."""
        self.path = path
        self._kept: list[GoldenRequest] = []
        self._starts = array("q")
        self._numbers = array("q")
        self.labelled = 0
        missing = set(may_change)
        ids: dict[str, int] = {}
        self._file = self._open()
        room = KEPT_BYTES
        for number, start, line in self._lines():
            request = self._parse(number, line)
            room -= len(line)
            if room >= 0:
                self._kept.append(request)
            self.labelled += request.labels is not None
            missing.discard(request.name)
            if ids.setdefault(request.name, number) != number:
                raise self._invalid(number, f"has the id {_quoted(request.name)} of line {ids[request.name]}")
            self._starts.append(start)
            self._numbers.append(number)
            if len(self) > MAX_REQUESTS:
                raise self._invalid(number, f"is one too many: at most {MAX_REQUESTS:,} requests")
        if not len(self):
            raise CheckError("GoldenFileInvalid", f"{self.path} holds no request; write one JSON object a line")
        if missing:
            names = ", ".join(_quoted(name) for name in sorted(missing)[:5])
            raise CheckError(
                "GoldenFileInvalid", f"{self.path} has no request with the id {names}, which golden.mayChange names"
            )

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> GoldenRequest:
        """Return a request; raises CheckError when it has to be read again and the file has changed."""
        if index < len(self._kept):
            return self._kept[index]
        self._file.seek(self._starts[index])
        return self._parse(self._numbers[index], self._file.readline(MAX_LINE_BYTES + 1))

    def close(self) -> None:
        self._file.close()

    def _open(self) -> Any:
        try:
            # O_NONBLOCK: a pipe in its place must not wait for a writer.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            file = os.fdopen(descriptor, "rb", buffering=1 << 16)
            if file.seekable():
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                if size <= MAX_FILE_BYTES:
                    return file
                problem = f"has {size:,} bytes; at most {MAX_FILE_BYTES:,}"
            else:
                problem = "is no regular file"
            file.close()
        except OSError as error:
            problem = f"cannot be read: {error.strerror}; name the file in spec.verification.golden"
        raise CheckError("GoldenFileInvalid", f"{self.path} {problem}")

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Number, offset and content of each line that is not blank."""
        number = start = 0
        try:
            while line := self._file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise self._invalid(number, f"is longer than {MAX_LINE_BYTES:,} bytes")
                if line.strip():
                    yield number, start, line
                start += len(line)
        except OSError as error:
            raise self._invalid(number + 1, f"cannot be read: {error.strerror}") from None

    def _parse(self, number: int, line: bytes) -> GoldenRequest:
        try:
            # The mark that some editors put before the first line is none of its text.
            value = _DECODER.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise self._invalid(number, f"is not UTF-8 (byte {error.start + 1})") from None
        except _ConstantError as error:
            raise self._invalid(number, f"holds {error}, which JSON does not have; write null or a number") from None
        except json.JSONDecodeError as error:
            raise self._invalid(number, f"is not JSON: {error.msg} (column {error.colno})") from None
        except (ValueError, RecursionError):
            raise self._invalid(number, "is not JSON that can be read: nested too deeply, or a huge number") from None
        if not isinstance(value, dict):
            raise self._invalid(number, 'is not an object; write {"body": {...}}')
        if unknown := sorted(value.keys() - _FIELDS):
            raise self._invalid(
                number,
                f"has the field {_quoted(unknown[0])}; known: {', '.join(sorted(_FIELDS))} (the request is body)",
            )
        return GoldenRequest(
            self._name(number, value),
            self._request_path(number, value),
            self._body(number, value),
            self._labels(number, value),
        )

    def _name(self, number: int, value: dict[str, Any]) -> str:
        name = value.get("id")
        if name is None:
            return f"line {number}"
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise self._invalid(number, "has an id that is neither text nor a whole number")
        if not 0 < len(str(name)) <= _ID_CHARACTERS:
            raise self._invalid(number, f"has an id that is not 1 to {_ID_CHARACTERS} characters long")
        return str(name)

    def _request_path(self, number: int, value: dict[str, Any]) -> str:
        path = value.get("path", "")
        if not isinstance(path, str) or (
            path and (not path.startswith("/") or not path.isascii() or path != "".join(path.split()))
        ):
            raise self._invalid(number, "has a path that is not an absolute one such as /v2/models/m/infer")
        return path

    def _body(self, number: int, value: dict[str, Any]) -> bytes:
        body = value.get("body")
        if isinstance(body, str):
            return body.encode("utf-8", "replace")
        if isinstance(body, dict | list):
            return _ENCODER.encode(body).encode("utf-8", "replace")
        what = "no body" if body is None else "a body that is neither an object, a list nor text"
        raise self._invalid(number, f'has {what}; write {{"body": {{...}}}}')

    def _labels(self, number: int, value: dict[str, Any]) -> Labels | None:
        label = value.get("label")
        if label is None:
            return None
        labels = label if isinstance(label, list) else [label]
        if not labels or not all(isinstance(one, str | int | float) for one in labels):
            raise self._invalid(number, "has a label that is neither text nor a number, nor a list of such")
        return tuple(map(label_text, labels))

    def _invalid(self, number: int, what: str) -> CheckError:
        return CheckError("GoldenFileInvalid", f"{self.path} line {number} {what}")


def label_text(value: object) -> Label:
    """A class as text, the same for 8, 8.0 and "8": a file's label and an adapter's answer seldom agree on the type."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value)


class _ConstantError(Exception):
    """NaN or Infinity."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


# Made once: the functions of json make a new one for each call with options.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _quoted(text: str) -> str:
    text = printable(text)
    return f'"{text[:_SHOWN]}…"' if len(text) > _SHOWN else f'"{text}"'
