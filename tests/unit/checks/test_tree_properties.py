"""The same content gives the same digest, any other content another one."""

import os
import random
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from topgraft.checks.tree import TreeDigest
from trees import naive_digest, write

Tree = dict[bytes, bytes]
names = st.sampled_from([b"a", b"a-", b"a.b", b"b", b"\xff", b"A", b"...", b"lost+found", b"x" * 255])
paths = st.lists(names, min_size=1, max_size=3).map(b"/".join)


def possible(files: Tree) -> bool:
    """Say whether no file is also a directory, nor skipped for its name."""
    return not any(one != other and other.startswith(one + b"/") for one in files for other in files) and not any(
        path.startswith((b"..", b"lost+found")) for path in files
    )


trees = st.dictionaries(paths, st.binary(max_size=20), max_size=6).filter(possible)


def digest(files: Tree) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return TreeDigest({"weights": str(write(Path(folder), files))}).compute()


@given(trees, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_times_and_modes_do_not_count(files: Tree, chance: random.Random) -> None:
    shuffled = list(files)
    chance.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), {path: files[path] for path in shuffled})
        for path in files:
            whole = os.path.join(os.fsencode(root), path)
            os.utime(whole, (chance.randrange(10**9), chance.randrange(10**9)))
            os.chmod(whole, chance.choice([0o400, 0o644, 0o755]))
        assert TreeDigest({"weights": str(root)}).compute() == naive_digest({"weights": files})


@given(trees, st.data())
@settings(max_examples=60, deadline=None)
def test_a_single_byte_counts(files: Tree, data: st.DataObject) -> None:
    assume(any(files.values()))
    path = data.draw(st.sampled_from(sorted(path for path in files if files[path])))
    position = data.draw(st.integers(0, len(files[path]) - 1))
    flipped = bytearray(files[path])
    flipped[position] ^= data.draw(st.integers(1, 255))
    assert digest(files) != digest({**files, path: bytes(flipped)})


@given(trees, paths, st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_renamed_added_or_removed_counts(files: Tree, path: bytes, data: st.DataObject) -> None:
    assume(path not in files)
    added = {**files, path: data.draw(st.binary(max_size=20))}
    assume(possible(added))
    before = digest(files)
    assert digest(added) != before
    if files:
        moved = data.draw(st.sampled_from(sorted(files)))
        rest = {name: content for name, content in files.items() if name != moved}
        assert digest(rest) != before
        assert digest({**rest, path: files[moved]}) != before


@given(trees, trees)
@settings(max_examples=60, deadline=None)
def test_two_trees_have_one_digest_only_when_they_are_equal(one: Tree, other: Tree) -> None:
    assert (digest(one) == digest(other)) == (one == other)
