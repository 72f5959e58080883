"""`topgraft tags`: which image an upgrade's target stands for, by the registry's own list of tags."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Protocol

from topgraft.checks.endpoint import endpoint
from topgraft.checks.failure import CheckError
from topgraft.checks.registry import Manifest, Registry
from topgraft.checks.tree import report
from topgraft.governance.publishing import (
    Policy,
    by_time,
    commit_in,
    newest_version,
    published,
    released,
    same_commit,
    version_of,
)

DEADLINE_SECONDS = 90
MAX_READ = 500
"""Images whose manifests are read to find a commit or the newest by time."""
AT_ONCE = 8
SHOWN = 5


class Tags(Protocol):
    """What is asked of a registry."""

    repository: str

    def tags(self) -> list[str]: ...
    def digest(self, reference: str) -> str | None: ...
    def manifest(self, reference: str) -> Manifest | None: ...


def by_tag(registry: Tags, tag: str, policy: Policy) -> dict[str, str]:
    """The image of a tag. Under TagOnly the tag of a commit counts only if a release has the same image."""
    if policy == "TagOnly" and not released(tag):
        return by_commit(registry, commit_in(tag) or tag, policy)
    manifest = registry.manifest(tag)
    if manifest is None:
        raise CheckError("TagNotFound", f"{registry.repository} has no tag {tag!r}: push it, or name another one")
    return _found(tag, manifest)


def by_commit(registry: Tags, commit: str, policy: Policy) -> dict[str, str]:
    """The image of a commit: by a tag that names it, else by the label org.opencontainers.image.revision."""
    every = published(registry.tags(), "EveryCommit")
    named = [tag for tag in every if commit_in(tag) and same_commit(commit_in(tag), commit)]
    visible = published(every, policy)
    if policy == "EveryCommit" and (images := _read(registry, named)):
        return _one(registry, images, commit)
    digests = {registry.digest(tag) for tag in named}
    images = _read(registry, [tag for tag in visible if not commit_in(tag)])
    of_commit = [(tag, m) for tag, m in images if m.digest in digests or same_commit(m.revision, commit)]
    if of_commit:
        return _one(registry, of_commit, commit)
    if named:
        text = f"{registry.repository} has commit {commit} ({named[0]}) without a tag of its own"
        remedy = "give it a tag, or set the Model's spec.publishPolicy to EveryCommit"
        raise CheckError("CommitNotTagged", f"{text}, and spec.publishPolicy is TagOnly: {remedy}")
    text = (
        f"{registry.repository} has no image of commit {commit}, by tag or by label org.opencontainers.image.revision"
    )
    raise CheckError("CommitNotFound", f"{text}: push it, or name another one")


def latest(registry: Tags, policy: Policy) -> dict[str, str]:
    """The newest image: by version where tags are versions and commits do not count, else by the time it was made."""
    tags = published(registry.tags(), policy)
    if not tags:
        text = "no tag" if policy == "EveryCommit" else "no tag but those of commits, and spec.publishPolicy is TagOnly"
        raise CheckError("TagNotFound", f"{registry.repository} has {text}: push one")
    version = newest_version(tags)
    if version is not None and not any(commit_in(tag) for tag in tags):
        return by_tag(registry, version, policy)
    images = _read(registry, by_time(tags))
    timed = [(time, tag, manifest) for tag, manifest in images if (time := _time(manifest.created))]
    if not timed:
        text = "none of its images tells when it was made"
        raise CheckError("LatestAmbiguous", f"{registry.repository}: {text}: name a tag or a commit")
    newest = max(time for time, _, _ in timed)
    of_newest = [(tag, manifest) for time, tag, manifest in timed if time == newest]
    if len({manifest.digest for _, manifest in of_newest}) > 1:
        names = ", ".join(tag for tag, _ in of_newest[:SHOWN])
        text = f"{names} were made at the same time ({newest.isoformat()})"
        raise CheckError("LatestAmbiguous", f"{registry.repository}: {text}: name a tag or a commit")
    return _found(*_best_name(of_newest))


def _one(registry: Tags, images: list[tuple[str, Manifest]], commit: str) -> dict[str, str]:
    if len({manifest.digest for _, manifest in images}) > 1:
        names = ", ".join(tag for tag, _ in images[:SHOWN])
        text = f"commit {commit} stands for several images ({names})"
        raise CheckError("LatestAmbiguous", f"{registry.repository}: {text}: name one by its tag")
    tag, manifest = _best_name(images)
    return _found(tag, manifest) | {"commit": commit if len(commit) >= len(manifest.revision) else manifest.revision}


def _best_name(images: Sequence[tuple[str, Manifest]]) -> tuple[str, Manifest]:
    """Of several tags of one image the one that says most: a version, else a commit, else any."""
    newest = newest_version(tag for tag, _ in images)
    order = sorted(
        images, key=lambda image: (image[0] != newest, version_of(image[0]) is None, not commit_in(image[0]))
    )
    return order[0]


def _found(tag: str, manifest: Manifest) -> dict[str, str]:
    told = {"tag": tag, "digest": manifest.digest, "commit": manifest.revision or commit_in(tag)}
    return {name: text for name, text in told.items() if text}


def _read(registry: Tags, tags: Sequence[str]) -> list[tuple[str, Manifest]]:
    """The manifests of tags; of those that went away meanwhile none."""
    if len(tags) > MAX_READ:
        text = f"{len(tags):,} tags would have to be read, the limit is {MAX_READ}"
        raise CheckError("TooManyTags", f"{registry.repository}: {text}: name a tag, or remove old ones")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [(tag, m) for tag, m in zip(tags, pool.map(registry.manifest, tags), strict=True) if m is not None]


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Builds that are the same for the same source say that they were made at the beginning of time, all of them.
    return time if time.tzinfo is not None and time.year > 1980 else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `topgraft tags`."""
    add = parser.add_argument
    add("--repository", required=True, metavar="HOST/PATH", help="the image repository")
    add("--policy", choices=("EveryCommit", "TagOnly"), default="EveryCommit", help="which tags count")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--tag", metavar="TAG", help="the image of this tag")
    target.add_argument("--commit", metavar="COMMIT", help="the image of this commit")
    target.add_argument("--latest", action="store_true", help="the newest image")
    add("--registry", action="append", default=[], type=endpoint, metavar="HOST=URL", help="where a registry answers")
    add("--pull-secrets", type=Path, default=Path("/nonexistent"), metavar="DIR", help="a directory for each secret")


def resolve(options: argparse.Namespace) -> dict[str, str]:
    """What the target stands for: tag, digest, and the commit where the image tells it. Raises CheckError."""
    registry = Registry(options.repository, dict(options.registry), options.pull_secrets)
    if options.tag:
        return by_tag(registry, options.tag, options.policy)
    return by_commit(registry, options.commit, options.policy) if options.commit else latest(registry, options.policy)


def run(options: argparse.Namespace) -> int:
    """Resolve, and put the answer as one line of JSON on stdout and in the termination log; exit status 0 or 1."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_SECONDS)
    answer: dict[str, object]
    try:
        answer = dict(resolve(options))
    except CheckError as error:
        answer = {"error": {"reason": error.reason, "message": str(error)}}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    report(json.dumps(answer))
    return 0 if "digest" in answer else 1


def _ring(*_: object) -> None:
    raise CheckError("RegistryUnavailable", f"the registry took more than {DEADLINE_SECONDS} s for all its answers")
