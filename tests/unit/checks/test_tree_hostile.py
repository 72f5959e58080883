"""Trees made to mislead the digest, and trees that change while it is computed."""

import contextlib
import ctypes
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from topgraft.checks import readers
from topgraft.checks.failure import CheckError
from topgraft.checks.readers import Readers
from topgraft.checks.tree import TreeDigest
from topgraft.checks.walk import Walk
from trees import naive_digest, write

FILES = {b"a": b"a" * 100_000, b"model/b": b"b", b"z": b"z"}
AT_FDCWD = -100
RENAME_EXCHANGE = 2


def refusal(root: Path, max_entries: int = 1000) -> CheckError:
    with pytest.raises(CheckError) as refused:
        TreeDigest({"weights": str(root)}, max_entries).compute()
    return refused.value


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may create devices")


def make_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


@pytest.mark.parametrize("make", [os.mkfifo, make_device, make_socket])
@pytest.mark.parametrize("name", ["model/odd", "..data/odd"])
def test_a_special_file_is_refused_and_not_opened(
    tmp_path: Path, make: Callable[[Path], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "v", {**FILES, b"..data/x": b""})
    make(root / name)
    (root / "link").symlink_to(name)
    opened = []
    really_open = os.open

    def watched_open(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        opened.append(path)
        return really_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", watched_open)
    error = refusal(root)
    assert error.reason == "ArtifactUnreadable"
    assert "is a device, a pipe or a socket" in str(error)
    assert b"odd" not in opened


def test_more_entries_than_the_limit_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {f"d/{number}".encode(): b"" for number in range(99)})
    assert TreeDigest({"weights": str(root)}, 100).compute()
    (root / "one more directory").mkdir()
    error = refusal(root, 100)
    assert error.reason == "ArtifactTooLarge"
    assert "volume weights: " in str(error)
    assert "over the limit of 100 files, links and directories" in str(error)


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"d/" * 127 + b"x": b""})
    assert TreeDigest({"weights": str(root)}).compute()
    write(root, {b"d/" * 128 + b"x": b""})
    assert refusal(root).reason == "ArtifactTooLarge"


def test_a_link_that_shows_its_own_directory_ends(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"..data/x": b""})
    (root / "..data" / "again").symlink_to("../..data")
    (root / "again").symlink_to("..data")
    assert refusal(root).reason == "ArtifactTooLarge"


def test_links_to_links_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    (root / "..a").symlink_to("..b/..b")
    (root / "..b").symlink_to("..a/..a")
    (root / "link").symlink_to("..a")
    assert TreeDigest({"weights": str(root)}).compute() != naive_digest({"weights": FILES})


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Lay down root's right to read everything."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65532)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["model/b", "model"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own directory admits nobody else
        Path(folder).chmod(0o755)
        root = write(Path(folder) / "v", FILES)
        (root / name).chmod(0)
        with ordinary_user():
            error = refusal(root)
        (root / name).chmod(0o755)
    assert error.reason == "ArtifactUnreadable"
    assert f"volume weights: {name}" in str(error)
    assert "cannot be read: Permission denied; let user " in str(error)


def test_a_mount_that_is_missing_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nothing")
    assert error.reason == "ArtifactUnreadable"
    assert f"{tmp_path}/nothing cannot be opened: No such file" in str(error)


def test_any_name_gives_a_short_printable_message(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {})
    os.symlink("/", os.path.join(os.fsencode(root), b"\xff\n\x1b[31m" + b"\x01" * 200))
    message = str(refusal(root))
    assert message.isprintable()
    assert len(message) < 600


def test_names_that_are_not_text_count(tmp_path: Path) -> None:
    files = {b"\xff/\xfe": b"1", b"\xff/\n": b"2", "ü".encode(): b"3", b"\xc3\x28": b"4"}
    root = write(tmp_path / "v", files)
    assert TreeDigest({"weights": str(root)}).compute() == naive_digest({"weights": files})


def swap_for_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def swap_for_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_for_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("swap", [Path.unlink, swap_for_link, swap_for_pipe, swap_for_directory])
def test_a_file_swapped_after_it_was_listed_is_noticed(tmp_path: Path, swap: Callable[[Path], None]) -> None:
    root = write(tmp_path / "v", FILES)
    entries = list(Walk("weights", str(root)))
    swap(root / "model" / "b")
    with pytest.raises(CheckError, match="model/b changed while the artifact was read"):
        list(Readers("weights").read(entries))


@pytest.mark.parametrize("change", [lambda file: os.truncate(file, 10), os.utime])
def test_a_file_that_changes_while_it_is_read_is_noticed(
    tmp_path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "v", {b"a": b"a" * 100_000})
    read = os.readv

    def read_then_change(fd: int, buffers: list[memoryview]) -> int:
        length = read(fd, buffers)
        change(root / "a")
        return length

    monkeypatch.setattr(readers.os, "readv", read_then_change)
    assert "a changed while the artifact was read" in str(refusal(root))


def exchange(one: Path, other: Path) -> None:
    """Swap two names in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.parametrize("name", ["model", "model/b"])
def test_no_swap_in_flight_leads_out_of_the_volume(tmp_path: Path, name: str) -> None:
    """A directory or file that is exchanged for a link to the same thing outside, again and again."""
    root = write(tmp_path / "v", FILES)
    expected = naive_digest({"weights": FILES})
    outside = write(tmp_path / "outside", {b"model/b": b"secret"})
    decoy = tmp_path / "decoy"
    decoy.symlink_to(outside / name)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(root / name, decoy)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    deadline = time.monotonic() + 2
    try:
        while time.monotonic() < deadline:
            try:
                seen.add(TreeDigest({"weights": str(root)}).compute())
            except CheckError as error:
                seen.add(error.reason)
    finally:
        stop.set()
        swapping.join()
    assert seen <= {expected, "ArtifactPathEscapes", "ArtifactUnreadable"}
    assert len(seen) > 1


def test_the_deadline_holds_in_the_middle_of_a_file(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    os.truncate(root / "z", 2**40)
    started = time.monotonic()
    with pytest.raises(CheckError, match=r"no digest after 0.3 s, in which \d files") as refused:
        TreeDigest({"weights": str(root)}).compute_within(0.3)
    assert refused.value.reason == "DigestDeadlineExceeded"
    assert time.monotonic() - started < 5
    os.truncate(root / "z", 0)  # ends the thread that is still reading
