"""Which tags count, and which is the newest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.governance.publishing import (
    by_time,
    commit_in,
    newest_version,
    published,
    released,
    same_commit,
    version_of,
)

COMMITS = ["3f2a9c1", "0" * 40, "sha-3f2a9c1d", "git-abcdef0", "commit-1234567", "1234567", "20240101", "f" * 64]
RELEASES = ["v1", "1.4.0", "latest", "main", "stable-3", "2024.01.01", "v20240101", "abcdef", "3F2A9C1", "feature-x"]
ATTACHED = [f"sha256-{'a' * 64}.sig", f"sha256-{'a' * 64}", f"sha256-{'0' * 64}.att"]


@pytest.mark.parametrize("tag", COMMITS)
def test_a_commit(tag: str) -> None:
    assert commit_in(tag)
    assert not released(tag)
    assert version_of(tag) is None


@pytest.mark.parametrize("tag", RELEASES)
def test_a_tag_of_its_own(tag: str) -> None:
    assert commit_in(tag) == ""
    assert released(tag)


def test_under_tag_only_commits_are_invisible_and_signatures_always() -> None:
    every = [*COMMITS, *RELEASES, *ATTACHED]
    assert published(every, "TagOnly") == sorted(RELEASES)
    assert published(every, "EveryCommit") == sorted(COMMITS + RELEASES)


ORDER = ["0.9", "v1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-rc.2", "1.0.0-rc.11", "v1", "1.0.1", "1.9"]
ORDER += ["v1.10.0", "2.0.0-0", "v2.0", "10", "v20240101"]


def test_versions_sort_as_semantic_versions_do() -> None:
    keys = [version_of(tag) for tag in ORDER]
    assert all(keys)
    assert keys == sorted(keys)  # type: ignore[type-var]


@pytest.mark.parametrize("tag", ["latest", "v", "1.2.3.4", "1..2", "v1.", "1.0-", "main-1", "", "٣", "1.0.0-a..b"])
def test_no_version(tag: str) -> None:
    assert version_of(tag) is None


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        (["v1", "v10", "v9", "latest"], "v10"),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["2.0.0-rc.1", "2.0.0-rc.2"], "2.0.0-rc.2"),
        (["1.4.0", "1.4", "1", "v1.4.0_build7"], "v1.4.0_build7"),
        (["1234567", "v2"], "v2"),
        (["latest", "main"], None),
        ([], None),
    ],
)
def test_the_newest_version(tags: list[str], newest: str | None) -> None:
    assert newest_version(tags) == newest
    assert newest_version(tags[::-1]) == newest


def test_by_time_names_that_move_count_only_where_there_is_nothing_else() -> None:
    assert by_time(["latest", "3f2a9c1", "v1"]) == ["3f2a9c1", "v1"]
    assert by_time(["latest", "main"]) == ["latest", "main"]


def test_commits_may_be_shortened() -> None:
    assert same_commit("3f2a9c1", "3f2a9c1d" * 5)
    assert not same_commit("3f2a9c1", "3f2a9c2d" * 5)
    assert not same_commit("", "3f2a9c1")
    assert not same_commit("3f2a9c", "3f2a9c1")


@given(st.from_regex("[A-Za-z0-9_][A-Za-z0-9_.-]{0,40}", fullmatch=True))
def test_a_tag_is_a_version_or_a_commit_or_neither(tag: str) -> None:
    assert not (commit_in(tag) and version_of(tag))
    assert (tag in published([tag], "EveryCommit")) >= (tag in published([tag], "TagOnly"))
