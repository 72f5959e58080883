import os
from pathlib import Path

import pytest

from topgraft_adapter import ArtifactPathError, ModelStateReader


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "weights").write_bytes(b"\x01\x02")
    (root / "text").write_text("grüße", encoding="utf-8")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "..data").symlink_to("sub")
    (root / "weights").symlink_to("..data/weights")
    return root


def test_reads_files_and_directories(root):
    reader = ModelStateReader(root)
    with reader.open("sub/weights") as file:
        assert file.read() == b"\x01\x02"
    with reader.open("text", "r") as file:
        assert file.read() == "grüße"
    assert sorted(os.listdir(reader.dir("sub"))) == ["weights"]
    assert reader.dir() == str(root)


def test_follows_the_links_of_a_mounted_configmap(root):
    with ModelStateReader(root).open("weights") as file:
        assert file.read() == b"\x01\x02"


@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "/etc/hostname", "out", "up/secret", "../missing", "/missing"]
)
def test_refuses_what_leaves_the_directory(root, path):
    with pytest.raises(ArtifactPathError, match="leaves the artifact directory"):
        ModelStateReader(root).open(path)


def test_refuses_a_directory_that_leaves(root):
    with pytest.raises(ArtifactPathError, match="leaves"):
        ModelStateReader(root).dir("up")


@pytest.mark.parametrize("mode", ["w", "wb", "a", "r+", "rb+", "x"])
def test_refuses_to_write(root, mode):
    with pytest.raises(ValueError, match="read-only"):
        ModelStateReader(root).open("text", mode)


def test_names_what_is_missing_or_of_another_kind(root):
    reader = ModelStateReader(root)
    with pytest.raises(FileNotFoundError, match=r"nothing.*not among the artifacts"):
        reader.open("nothing")
    with pytest.raises(ArtifactPathError, match="not a file"):
        reader.open("sub")
    with pytest.raises(ArtifactPathError, match="not a directory"):
        reader.dir("text")


def test_a_pipe_is_not_opened(root):
    os.mkfifo(root / "pipe")
    with pytest.raises(ArtifactPathError, match="not a file"):
        ModelStateReader(root).open("pipe")
