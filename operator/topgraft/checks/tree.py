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
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from topgraft.checks.failure import CheckError
from topgraft.checks.readers import Readers
from topgraft.checks.walk import MAX_ENTRIES, Walk

TERMINATION_LOG = "/dev/termination-log"


class TreeDigest:
    """The digest of artifact volumes; `files` and `bytes` count what it covers so far."""

    def __init__(self, volumes: Mapping[str, str], max_entries: int = MAX_ENTRIES) -> None:
        """Take the volumes as name → path of the mount, each with at most `max_entries` entries of any kind."""
        self._volumes = volumes
        self._max_entries = max_entries
        self._hash = hashlib.sha256()
        self.files = 0
        self.bytes = 0

    def compute(self) -> str:
        """Read every volume once and return `sha256:<64 hex digits>`; raises CheckError."""
        for volume in sorted(self._volumes):
            walk = Walk(volume, self._volumes[volume], self._max_entries)
            for entry, content in Readers(volume).read(walk):
                # No name can contain NUL, so no two trees give the same text.
                kind = b"link" if entry.link else b"file"
                line = (kind, volume.encode(), entry.path, b"%d" % content.size, content.sha256.hex().encode())
                self._hash.update(b"".join(field + b"\0" for field in line))
                self.files += 1
                self.bytes += content.size
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
        "--volume", action="append", required=True, type=_volume, metavar="NAME=PATH", help="an artifact volume's mount"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=3600, metavar="N", help="give up after this time (default: 3600)"
    )


def run(options: argparse.Namespace) -> int:
    """Compute the digest, put the result as one line of JSON on stdout and in the termination log: exit status 0 with a
    digest, 1 with an error."""
    started = time.monotonic()
    tree = TreeDigest(dict(options.volume))
    answer: dict[str, object]
    try:
        digest = tree.compute_within(options.deadline_seconds)
        seconds = round(time.monotonic() - started, 3)
        answer = {"digest": digest, "files": tree.files, "bytes": tree.bytes, "seconds": seconds}
    except CheckError as error:
        answer = {"error": {"reason": error.reason, "message": str(error)}}
    _report(json.dumps(answer))
    return 0 if "digest" in answer else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as `python -m topgraft.checks.tree`."""
    parser = argparse.ArgumentParser(prog="topgraft digest", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def _volume(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


def _report(answer: str) -> None:
    print(answer, flush=True)
    path = os.environ.get("TOPGRAFT_TERMINATION_LOG", TERMINATION_LOG)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as log:
            log.write(answer)
    except FileNotFoundError:
        pass  # outside a pod there is none, and creating it would leave a file in /dev


if __name__ == "__main__":
    sys.exit(main())
