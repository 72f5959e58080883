"""What the tree digest covers, and what not."""

import os
from pathlib import Path

import pytest
from topgraft.checks.failure import CheckError
from topgraft.checks.tree import TreeDigest
from trees import naive_digest, write

FILES = {b"config.json": b"{}", b"model/a.bin": b"\0" * 3_000_000, b"model/b.bin": b"b", b"model-2": b"", b"z": b"zz"}


def digest(path: Path, volume: str = "weights") -> str:
    return TreeDigest({volume: str(path)}).compute()


def test_a_known_tree_has_a_known_digest(tmp_path: Path) -> None:
    """The digests recorded in version statuses outlive releases: the format must never change."""
    tree = TreeDigest({"weights": str(write(tmp_path / "v", {b"a/b": b"abc", b"c": b""}))})
    assert tree.compute() == "sha256:e44b1e687e0c8d08767930be69c8588bf5468ee7762902fb63afd76607d10a51"
    assert (tree.files, tree.bytes) == (2, 3)


def test_it_is_what_its_definition_says(tmp_path: Path) -> None:
    assert digest(write(tmp_path / "v", FILES)) == naive_digest({"weights": FILES})


def test_several_volumes_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", {b"x": b"1"}), write(tmp_path / "2", {b"x": b"2"})
    expected = naive_digest({"a": {b"x": b"1"}, "b": {b"x": b"2"}})
    assert TreeDigest({"b": str(two), "a": str(one)}).compute() == expected
    assert TreeDigest({"a": str(two), "b": str(one)}).compute() != expected


def test_times_modes_and_empty_directories_do_not_count(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    before = digest(root)
    os.utime(root / "z", (1, 1))
    (root / "z").chmod(0o755)
    (root / "empty" / "below").mkdir(parents=True)
    assert digest(root) == before


def test_names_that_belong_to_the_mount_are_skipped_at_the_root_only(tmp_path: Path) -> None:
    root = write(tmp_path / "v", FILES)
    before = digest(root)
    write(root, {b"..old/x": b"x", b"lost+found/y": b"y"})
    assert digest(root) == before
    write(root, {b"model/..x": b"x"})
    assert digest(root) != before


def test_a_volume_may_be_a_single_file(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"model.bin": b"abc"})
    assert digest(root / "model.bin") == naive_digest({"weights": {b"": b"abc"}})


def test_a_volume_may_be_empty(tmp_path: Path) -> None:
    assert digest(write(tmp_path / "v", {})) == naive_digest({})


def configmap(root: Path, revision: str, files: dict[bytes, bytes]) -> Path:
    """Lay files out as the kubelet does for a ConfigMap, Secret or projected volume."""
    write(root, {f"..{revision}/".encode() + path: content for path, content in files.items()})
    (root / "..data").symlink_to(f"..{revision}")
    for name in {path.split(b"/")[0].decode() for path in files}:
        (root / name).symlink_to(f"..data/{name}")
    return root


def test_the_files_of_a_configmap_count_as_files(tmp_path: Path) -> None:
    """Its names are links into a directory that is skipped; were they taken as links, no byte of it would count."""
    expected = digest(write(tmp_path / "plain", FILES))
    assert digest(configmap(tmp_path / "first", "2026_01", FILES)) == expected
    assert digest(configmap(tmp_path / "second", "2026_02", FILES)) == expected
    assert digest(configmap(tmp_path / "other", "2026_03", {**FILES, b"model/b.bin": b"B"})) != expected


def test_a_link_inside_the_volume_counts_as_its_text(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {b"blobs/1": b"one", b"blobs/2": b"two"})
    link = root / "snapshot" / "model.bin"
    link.parent.mkdir()
    link.symlink_to("../blobs/1")
    first = digest(root)
    link.unlink()
    link.symlink_to("../blobs/2")
    assert digest(root) != first
    link.unlink()
    link.write_bytes(b"../blobs/1")
    assert digest(root) != first


@pytest.mark.parametrize("target", ["nothing", "link", ".", "model/../z", "model/a.bin/x", "./model//a.bin", "z/.."])
def test_links_that_stay_inside_are_accepted(tmp_path: Path, target: str) -> None:
    root = write(tmp_path / "v", FILES)
    (root / "link").symlink_to(target)
    assert digest(root) != naive_digest({"weights": FILES})


@pytest.mark.parametrize("target", ["/etc/hostname", "..", "../v/z", "model/../../x", "up/../x", "..data/up/up"])
def test_links_that_leave_the_volume_are_refused(tmp_path: Path, target: str) -> None:
    root = write(tmp_path / "v", {**FILES, b"..data/z": b""})
    (root / "model" / "up").symlink_to("..")
    (root / "..data" / "up").symlink_to("../model/up/..")
    (root / "up").symlink_to("model/up")
    (root / "link").symlink_to(target)
    with pytest.raises(CheckError, match="volume weights: link is a link that leads out") as refused:
        digest(root)
    assert refused.value.reason == "ArtifactPathEscapes"
