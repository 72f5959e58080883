import os
from pathlib import Path

import pytest

from topgraft_adapter import ArtifactPathError, ModelStateReader, ModelStateWriter


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


@pytest.mark.parametrize("path", ["zero\0byte", "x" * 5000, "text/below"])
def test_odd_paths_are_refused(root, path):
    with pytest.raises((ArtifactPathError, FileNotFoundError)):
        ModelStateReader(root).open(path)


def test_a_ring_of_links_is_refused(root):
    (root / "ring").symlink_to("ring")
    with pytest.raises(ArtifactPathError, match="cannot be resolved"):
        ModelStateReader(root).open("ring")


def test_extracts_what_lies_inside(root, tmp_path):
    for link in ("out", "up"):
        (root / link).unlink()
    reader = ModelStateReader(root)
    reader.extract(tmp_path / "copy")
    found = sorted(str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*") if p.is_file())
    assert found == ["sub/weights", "text", "weights"]
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))
    made = Path(reader.extract_to_temp_dir(tmp_path))
    assert made.parent == tmp_path
    assert (made / "sub" / "weights").read_bytes() == b"\x01\x02"
    with pytest.raises(FileExistsError):
        reader.extract(tmp_path / "copy")


@pytest.mark.parametrize(("link", "to"), [("out2", "../secret"), ("above", "."), ("dirs", "..")])
def test_extracts_nothing_through_a_link_that_leaves(root, tmp_path, link, to):
    for old in ("out", "up"):
        (root / old).unlink()
    (root / "sub" / link).symlink_to(to)
    before = set(tmp_path.iterdir())
    with pytest.raises(ArtifactPathError):
        ModelStateReader(root).extract_to_temp_dir(tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_does_not_extract_into_itself(root):
    with pytest.raises(ArtifactPathError, match="inside"):
        ModelStateReader(root).extract(root / "sub" / "copy")


def test_writes_once_and_inside(tmp_path):
    writer = ModelStateWriter(tmp_path / "new")
    with writer.open("a/b.txt", "w") as file:
        file.write("grüße")
    writer.put_file(tmp_path / "new" / "a" / "b.txt", "c.txt")
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "more" / "deep" / "d").write_bytes(b"d")
    writer.put_directory(tmp_path / "more")
    writer.put_directory(tmp_path / "more", "/below")
    reader = ModelStateReader(tmp_path / "new")
    assert [reader.open(path).read() for path in ("c.txt", "deep/d", "below/deep/d")] == ["grüße".encode(), b"d", b"d"]
    with pytest.raises(FileExistsError), writer.open("c.txt"):
        pass
    with pytest.raises(ValueError, match="written once"), writer.open("c.txt", "a"):
        pass


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a\0b", "link/x", "link"])
def test_writes_nothing_elsewhere(tmp_path, path):
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((ArtifactPathError, FileExistsError)), ModelStateWriter(root).open(path):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["elsewhere", "root"]
