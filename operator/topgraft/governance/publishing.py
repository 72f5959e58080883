"""Which tags of an image repository are published, and which of them is the newest. Standard library only: it runs in
pods that live for seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Policy = Literal["EveryCommit", "TagOnly"]

_VERSION = re.compile(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:_[0-9A-Za-z.-]+)?", re.ASCII
)
_COMMIT = re.compile(r"(?:sha-|git-|commit-)?([0-9a-f]{7,64})", re.ASCII)
_ATTACHED = re.compile(r"sha256-[0-9a-f]{64}.*", re.ASCII)
"""Signatures and the like, which registries keep as tags beside the image that they belong to."""

VersionKey = tuple[tuple[int, int, int], bool, tuple[tuple[int, int, str], ...]]


def commit_in(tag: str) -> str:
    """The commit that a tag names: 7 to 64 hexadecimal digits, with or without `sha-`, `git-` or `commit-`; else "".

    Seven digits and more count as a commit, also without a letter: a build number of that size would else be the
    highest version for ever, and one commit in thirty has no letter in its first seven digits.
    """
    found = _COMMIT.fullmatch(tag)
    return found[1] if found else ""


def version_of(tag: str) -> VersionKey | None:
    """The tag as a semantic version that sorts, None for any other: v2, 1.4, v1.4.0-rc.1, 1.4.0_build7.

    A pre-release sorts below its release. What follows `_` is the build (`+` cannot stand in a tag) and does not count.
    """
    found = None if commit_in(tag) else _VERSION.fullmatch(tag)
    if found is None:
        return None
    numbers = (int(found[1]), int(found[2] or 0), int(found[3] or 0))
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in (found[4] or "").split(".") if p)
    return numbers, not parts, parts


def released(tag: str) -> bool:
    """Whether the tag was given to an image by a person or a release, and not by each commit."""
    return not commit_in(tag) and not _ATTACHED.fullmatch(tag)


def published(tags: Iterable[str], policy: Policy) -> list[str]:
    """The tags that an upgrade may see under the policy, sorted."""
    images = (tag for tag in tags if not _ATTACHED.fullmatch(tag))
    return sorted(tag for tag in images if policy == "EveryCommit" or released(tag))


def newest_version(tags: Iterable[str]) -> str | None:
    """The highest version; a pre-release only where there is no release. None where no tag is a version.

    Of several spellings of one version (v1, 1.0) the longest is taken: it says most.
    """
    keyed = [(key, len(tag), tag) for tag in tags if (key := version_of(tag))]
    releases = [one for one in keyed if one[0][1]]
    return max(releases or keyed)[2] if keyed else None


def by_time(tags: Iterable[str]) -> list[str]:
    """The tags among which the time decides: commits and versions where there are any, else all.

    Names that move (latest, main) stand for an image that has a name of its own, too.
    """
    given = list(tags)
    return [tag for tag in given if commit_in(tag) or version_of(tag)] or given


def same_commit(one: str, other: str) -> bool:
    """Whether two commits, at least one of them perhaps shortened, are the same."""
    return min(len(one), len(other)) >= 7 and (one.startswith(other) or other.startswith(one))
