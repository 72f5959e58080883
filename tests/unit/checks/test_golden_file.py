"""Golden files: what is read, and that everything else is refused with its line."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.checks import goldenfile
from topgraft.checks.failure import CheckError
from topgraft.checks.goldenfile import GoldenFile, GoldenRequest, label_text

GOOD = '{"id": "a", "body": {"inputs": []}}'


def file(tmp_path: Path, *lines: str | bytes) -> str:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return str(path)


def test_what_is_read(tmp_path: Path) -> None:
    golden = GoldenFile(
        file(
            tmp_path,
            b"\xef\xbb\xbf" + GOOD.encode(),
            "",
            '{"id": 7, "path": "/predict", "body": "as it is ü", "label": 8}',
            '{"body": [1, 2], "label": ["cat", 3, 4.0]}\r',
        ),
        frozenset({"7"}),
    )
    assert [golden[index] for index in range(len(golden))] == [
        GoldenRequest("a", "", b'{"inputs":[]}', None),
        GoldenRequest("7", "/predict", "as it is ü".encode(), ("8",)),
        GoldenRequest("line 4", "", b"[1,2]", ("cat", "3", "4")),
    ]
    assert golden.labelled == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 2 is not JSON: Expecting value (column 1)"),
        ("{", "line 2 is not JSON"),
        ("[1]", 'line 2 is not an object; write {"body": {...}}'),
        ('{"id": "b"}', 'line 2 has no body; write {"body": {...}}'),
        ('{"inputs": []}', 'line 2 has the field "inputs"; known: body, id, label, path (the request is body)'),
        ('{"body": null}', "line 2 has no body"),
        ('{"body": 7}', "line 2 has a body that is neither an object, a list nor text"),
        ('{"body": {"x": NaN}}', "line 2 holds NaN, which JSON does not have; write null or a number"),
        ('{"body": {"x": -Infinity}}', "line 2 holds -Infinity"),
        (b'{"body": "\xff"}', "line 2 is not UTF-8 (byte 11)"),
        ('{"id": "a", "body": {}}', 'line 2 has the id "a" of line 1'),
        ('{"id": "", "body": {}}', "line 2 has an id that is not 1 to 128 characters long"),
        ('{"id": true, "body": {}}', "line 2 has an id that is neither text nor a whole number"),
        ('{"path": "predict", "body": {}}', "line 2 has a path that is not an absolute one"),
        ('{"path": "/a b", "body": {}}', "line 2 has a path that is not an absolute one"),
        ('{"path": "/a\\r\\nHost: x", "body": {}}', "line 2 has a path that is not an absolute one"),
        ('{"body": {}, "label": {}}', "line 2 has a label that is neither text nor a number"),
        ('{"body": {}, "label": []}', "line 2 has a label"),
        ('{"body": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2 is not JSON that can be read"),
        ('{"body": {"x": ' + "9" * 5000 + "}}", "line 2 is not JSON that can be read"),
        ('{"\\u001b[31m": 1, "body": {}}', 'the field "\\x1b[31m"'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str | bytes, said: str) -> None:
    path = file(tmp_path, GOOD, line)
    with pytest.raises(CheckError) as caught:
        GoldenFile(path)
    assert caught.value.reason == "GoldenFileInvalid"
    assert str(caught.value).startswith(path)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_empty_file_holds_no_request(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="holds no request"):
        GoldenFile(file(tmp_path, "", "  "))


def test_what_may_change_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r'no request with the id "b", which golden\.mayChange names'):
        GoldenFile(file(tmp_path, GOOD), frozenset({"a", "b"}))


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "missing": "No such file or directory; name the file in spec.verification.golden",
        tmp_path: "Is a directory",
        tmp_path / "pipe": "is no regular file",
    }
    for path, said in cases.items():
        with pytest.raises(CheckError, match=said):
            GoldenFile(str(path))


def test_huge_files_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = tmp_path / "sparse"
    sparse.touch()
    os.truncate(sparse, goldenfile.MAX_FILE_BYTES + 1)
    with pytest.raises(CheckError, match="has 4,294,967,297 bytes; at most 4,294,967,296"):
        GoldenFile(str(sparse))
    monkeypatch.setattr(goldenfile, "MAX_LINE_BYTES", 40)
    with pytest.raises(CheckError, match="line 2 is longer than 40 bytes"):
        GoldenFile(file(tmp_path, GOOD, " " * 41))
    monkeypatch.setattr(goldenfile, "MAX_REQUESTS", 2)
    with pytest.raises(CheckError, match="line 3 is one too many: at most 2 requests"):
        GoldenFile(file(tmp_path, '{"body":""}', '{"body":""}', '{"body":""}'))


def test_a_file_too_large_to_be_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, GOOD, '{"body": "x"}')
    monkeypatch.setattr(goldenfile, "KEPT_BYTES", len(GOOD) + 1)
    golden = GoldenFile(path)
    assert [golden[index].name for index in (1, 0, 1)] == ["line 2", "a", "line 2"]
    Path(path).write_text("x" * 200)
    assert golden[0].name == "a"
    with pytest.raises(CheckError, match="line 2 is not JSON"):
        golden[1]


@pytest.mark.parametrize(
    ("value", "text"), [(8, "8"), (8.0, "8"), ("8", "8"), (0.5, "0.5"), (True, "true"), ("ä", "ä")]
)
def test_labels_are_text(value: object, text: str) -> None:
    assert label_text(value) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("golden") / "f"
    path.write_bytes(content)
    with suppress(CheckError):
        golden = GoldenFile(str(path))
        assert all(golden[index] for index in range(len(golden)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_body_is_sent_as_the_same_json(tmp_path_factory: pytest.TempPathFactory, body: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("golden") / "f"
    path.write_text(json.dumps({"body": body}))
    assert json.loads(GoldenFile(str(path))[0].body) == json.loads(json.dumps(body).encode("utf-8", "replace"))
