"""The stat digest: what changes it, what does not, and the command that trusts it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from topgraft.checks import stats
from topgraft.checks.pace import Pace
from topgraft.checks.stats import stat_digest
from topgraft.checks.tree import Known, TreeDigest
from trees import naive_digest, write

FILES = {b"a/b": b"abc", b"c": b"xyz"}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that count as at rest although they were just written."""
    monkeypatch.setattr(stats, "RACY_NANOSECONDS", -(10**12))
    root = write(tmp_path / "v", FILES)
    os.symlink("a/b", root / "link")
    return root


def stat_of(root: Path) -> str | None:
    return stat_digest({"weights": str(root)}).result()


def touch_content(root: Path) -> None:
    (root / "c").write_bytes(b"zyx")


def forge_times(root: Path) -> None:
    """What a program can do: the content changed, size and mtime as they were."""
    old = os.stat(root / "c")
    (root / "c").write_bytes(b"zyx")
    os.utime(root / "c", ns=(old.st_atime_ns, old.st_mtime_ns))


def replace_file(root: Path) -> None:
    (root / "new").write_bytes(b"xyz")
    os.rename(root / "new", root / "c")


def swap_files(root: Path) -> None:
    os.rename(root / "c", root / "x")
    os.rename(root / "a" / "b", root / "c")
    os.rename(root / "x", root / "a" / "b")


def turn_link(root: Path) -> None:
    os.unlink(root / "link")
    os.symlink("c", root / "link")


CHANGES: list[Callable[[Path], None]] = [
    touch_content,
    forge_times,
    replace_file,
    swap_files,
    turn_link,
    lambda root: os.unlink(root / "c"),
    lambda root: (root / "d").write_bytes(b"") and None,
    lambda root: os.rename(root / "a", root / "e"),
    lambda root: os.chmod(root / "c", 0o600),
]


@pytest.mark.parametrize("change", CHANGES, ids=[str(number) for number in range(len(CHANGES))])
def test_every_change_shows(tree: Path, change: Callable[[Path], None]) -> None:
    before = stat_of(tree)
    time.sleep(0.02)  # a tick of the kernel's clock
    change(tree)
    assert before is not None
    assert stat_of(tree) != before


def test_reading_changes_nothing_and_both_walks_agree(tree: Path) -> None:
    reading = TreeDigest({"weights": str(tree)})
    reading.compute()
    assert reading.stat == stat_of(tree)
    assert reading.stat == stat_of(tree)
    assert not reading.quick


def test_what_is_known_is_not_read(tree: Path) -> None:
    first = TreeDigest({"weights": str(tree)})
    digest = first.compute()
    assert first.stat
    again = TreeDigest({"weights": str(tree)}, known=Known(first.stat, "sha256:" + "e" * 64))
    assert again.compute() == "sha256:" + "e" * 64
    assert (again.quick, again.files, again.bytes, again.stat) == (True, first.files, first.bytes, first.stat)
    touch_content(tree)
    third = TreeDigest({"weights": str(tree)}, known=Known(first.stat, digest))
    assert third.compute() not in (digest, None)
    assert not third.quick


def test_a_file_that_changed_just_now_gives_no_stat_digest(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    assert stat_of(root) is None
    reading = TreeDigest({"weights": str(root)})
    assert reading.compute() == naive_digest({"weights": FILES})
    assert reading.stat is None


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "topgraft.checks.tree", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_says_that_it_was_quick(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    time.sleep(stats.RACY_NANOSECONDS / 1e9 + 0.1)
    first = json.loads(run("--volume", f"weights={root}").stdout)
    assert first["digest"] == naive_digest({"weights": FILES})
    known = ("--known-stat", first["statDigest"], "--known-digest", first["digest"])
    second = json.loads(run("--volume", f"weights={root}", *known).stdout)
    assert second.pop("quick") is True
    assert {**second, "seconds": 0} == {**first, "seconds": 0}
    (root / "c").write_bytes(b"zyx")
    third = json.loads(run("--volume", f"weights={root}", *known).stdout)
    assert "quick" not in third
    assert third["digest"] == naive_digest({"weights": {**FILES, b"c": b"zyx"}})


@pytest.mark.parametrize(
    "options",
    [
        ("--known-stat", "sha256:" + "a" * 64),
        ("--known-digest", "sha256:" + "a" * 64),
        ("--known-stat", "md5", "--known-digest", "sha256:" + "a" * 64),
        ("--rate-mib", "0"),
        ("--rate-mib", "fast"),
        ("--rate-mib", "nan"),
    ],
)
def test_a_wrong_command_line_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run("--volume", f"weights={tmp_path}", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_reading_keeps_to_its_rate(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"%d" % number: b"x" * 2**20 for number in range(8)})
    started = time.monotonic()
    TreeDigest({"weights": str(root)}, pace=Pace(16 * 2**20)).compute()
    assert 0.45 < time.monotonic() - started < 10
