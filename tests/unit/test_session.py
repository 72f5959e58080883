"""The first mistakes of a user of the command line: each is one line that says what is wrong and what to do."""

from pathlib import Path

import pytest
from topgraft import cli


def _failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["info", "digits", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.mark.parametrize(
    "content",
    [b"clusters: [", b"", b"hello", b"[]", b"\xff\xfe\x00", b"apiVersion: v1\nkind: Config\nclusters: []\n"],
    ids=["malformed", "empty", "text", "list", "binary", "no context"],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    assert f"cannot use the kubeconfig {str(path)!r}" in _failed(capsys, "--kubeconfig", str(path))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_kubeconfig_that_is_no_file_is_named_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "none"
    said = _failed(capsys, "--kubeconfig", str(path))
    assert f"cannot read the kubeconfig {str(path)!r}" in said
    assert "--kubeconfig or KUBECONFIG names another" in said


def test_a_severity_that_does_not_exist_shows_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["report-defect", "digits", "--id", "BUG-1", "--severity", "P11"])
    assert end.value.code == 2
    assert "P9" in capsys.readouterr().err
