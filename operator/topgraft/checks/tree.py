"""The tree digest: one sha256 that stands for every byte of a version's artifact volumes.

It covers, for each file and link of each volume in the order of volume names and paths, the volume's name, the path,
the size and the sha256 of the content. It does not cover what a mount decides: owners, times, modes. The executable bit
is a mode, too: a ConfigMap, a CSI driver or an image unpacker sets it by its own settings, and the same bytes must give
the same digest wherever they are mounted.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from topgraft.checks.failure import CheckError
from topgraft.checks.pace import Pace
from topgraft.checks.readers import Readers
from topgraft.checks.stats import StatDigest, stat_digest
from topgraft.checks.walk import MAX_ENTRIES, Walk

TERMINATION_LOG = "/dev/termination-log"


class Known(NamedTuple):
    """A stat digest, and the tree digest that was computed of the same files."""

    stat: str
    tree: str


class TreeDigest:
    """The digest of artifact volumes; `files` and `bytes` count what it covers so far.

    `stat` is the stat digest of the same files, if they were at rest; `quick` tells that no byte was read.
    """

    def __init__(
        self,
        volumes: Mapping[str, str],
        max_entries: int = MAX_ENTRIES,
        known: Known | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Take the volumes as name → path of the mount, each with at most `max_entries` entries of any kind.

        Volumes whose stat digest is the `known` one count as unchanged. `pace` limits how fast files are read.
        """
        self._volumes = volumes
        self._max_entries = max_entries
        self._known = known
        self._pace = pace
        self._hash = hashlib.sha256()
        self.files = 0
        self.bytes = 0
        self.stat: str | None = None
        self.quick = False

    def compute(self) -> str:
        """Return `sha256:<64 hex digits>` of every byte, read once or known; raises CheckError."""
        if self._known is not None:
            found = stat_digest(self._volumes, self._max_entries)
            if found.result() == self._known.stat:
                self.files, self.bytes, self.stat, self.quick = found.files, found.bytes, self._known.stat, True
                return self._known.tree
        return self._read()

    def _read(self) -> str:
        stats = StatDigest()
        for volume in sorted(self._volumes):
            walk = Walk(volume, self._volumes[volume], self._max_entries)
            for entry, content, times in Readers(volume, pace=self._pace).read(walk):
                stats.add(volume, entry, content.size, times or content)
                # No name can contain NUL, so no two trees give the same text.
                kind = b"link" if entry.link else b"file"
                line = (kind, volume.encode(), entry.path, b"%d" % content.size, content.sha256.hex().encode())
                self._hash.update(b"".join(field + b"\0" for field in line))
                self.files += 1
                self.bytes += content.size
        self.stat = stats.result()
        return f"sha256:{self._hash.hexdigest()}"

    def compute_within(self, seconds: float) -> str:
        """Do the same, but give up after a time; a thread may still be reading then, so the process should end soon."""
        outcome: list[str | Exception] = []

        def compute() -> None:
            try:
                outcome.append(self.compute())
            except Exception as error:
                outcome.append(error)

        # The system call that hangs on a dead file server cannot be interrupted, only abandoned with its thread.
        computing = threading.Thread(target=compute, daemon=True)
        computing.start()
        computing.join(seconds)
        if not outcome:
            raise CheckError(
                "DigestDeadlineExceeded",
                f"no digest after {seconds:g} s, in which {self.files:,} files with {self.bytes:,} bytes were read; "
                "allow more time or use a faster volume",
            )
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `topgraft digest`."""
    parser.add_argument(
        "--volume", action="append", required=True, type=volume, metavar="NAME=PATH", help="an artifact volume's mount"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=3600, metavar="N", help="give up after this time (default: 3600)"
    )
    add = parser.add_argument
    add("--known-stat", type=_digest, metavar="DIGEST", help="if the stat digest still is this, read no file")
    add("--known-digest", type=_digest, metavar="DIGEST", help="the tree digest that belongs to --known-stat")
    add("--rate-mib", type=_rate, metavar="N", help="read at most so many MiB a second (default: no limit)")


def run(options: argparse.Namespace) -> int:
    """Compute the digest, put the result as one line of JSON on stdout and in the termination log: exit status 0 with a
    digest, 1 with an error, 2 with half of what is known."""
    started = time.monotonic()
    if (options.known_stat is None) != (options.known_digest is None):
        print("--known-stat and --known-digest need each other", file=sys.stderr)
        return 2
    known = Known(options.known_stat, options.known_digest) if options.known_stat else None
    pace = Pace(options.rate_mib * 2**20) if options.rate_mib else None
    tree = TreeDigest(dict(options.volume), known=known, pace=pace)
    answer: dict[str, object]
    try:
        digest = tree.compute_within(options.deadline_seconds)
        seconds = round(time.monotonic() - started, 3)
        answer = {"digest": digest, "files": tree.files, "bytes": tree.bytes, "seconds": seconds}
        if tree.stat:
            answer["statDigest"] = tree.stat
        if tree.quick:
            answer["quick"] = True
    except CheckError as error:
        answer = {"error": {"reason": error.reason, "message": str(error)}}
    report(json.dumps(answer))
    return 0 if "digest" in answer else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as `python -m topgraft.checks.tree`."""
    parser = argparse.ArgumentParser(prog="topgraft digest", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def volume(text: str) -> tuple[str, str]:
    """NAME=PATH of an option. Raises ArgumentTypeError."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


def _digest(text: str) -> str:
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not sha256:<64 hex digits>")
    return text


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of MiB a second")
    return rate


def report(answer: str) -> None:
    """Put a line of JSON on stdout and, in a pod, into the termination log."""
    print(answer, flush=True)
    path = os.environ.get("TOPGRAFT_TERMINATION_LOG", TERMINATION_LOG)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as log:
            log.write(answer)
    except FileNotFoundError:
        pass  # outside a pod there is none, and creating it would leave a file in /dev


if __name__ == "__main__":
    sys.exit(main())
