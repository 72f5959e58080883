"""The stat digest: one sha256 over what the file system tells of every file, without a byte of it read.

It covers each file's path, size, times of change (mtime, ctime) and inode. A program can set mtime, but not ctime:
the kernel sets that to the present with every change of content or attributes. The device number stays out: another
node may mount the same volume under another one. The stat digest means nothing on its own: it says whether a volume
still is as it was when its tree digest was computed.
"""

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from typing import NamedTuple

from topgraft.checks.failure import changed, unreadable
from topgraft.checks.walk import MAX_ENTRIES, Content, Entry, Walk

RACY_NANOSECONDS = 2_000_000_000
"""A file that changed so shortly before it was read could have changed after it without another ctime: clocks of file
systems tick in steps, of up to two seconds."""


class Times(NamedTuple):
    """What tells whether a file was changed or replaced."""

    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Times":
        return cls(status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class StatDigest:
    """Takes the entries of volumes in the order of a walk."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._started = time.time_ns()
        self._newest = 0
        self.files = 0
        self.bytes = 0

    def add(self, volume: str, entry: Entry, size: int, times: Times | Content) -> None:
        """Take a file with its times, or a link with its content."""
        self.files += 1
        self.bytes += size
        if isinstance(times, Times):
            self._newest = max(self._newest, times.ctime_ns)
            told = b"%d %d %d" % times
        else:
            told = times.sha256.hex().encode()
        line = (b"file" if isinstance(times, Times) else b"link", volume.encode(), entry.path, b"%d" % size, told)
        self._hash.update(b"".join(field + b"\0" for field in line))

    def result(self) -> str | None:
        """`sha256:<64 hex digits>`, or None where a file changed too shortly before to be sure of it."""
        settled = self._newest <= self._started - RACY_NANOSECONDS
        return f"sha256:{self._hash.hexdigest()}" if settled else None


def stat_digest(volumes: Mapping[str, str], max_entries: int = MAX_ENTRIES) -> StatDigest:
    """Walk the volumes (name → path of the mount) and read no file; raises CheckError."""
    digest = StatDigest()
    for volume in sorted(volumes):
        for entry in Walk(volume, volumes[volume], max_entries):
            if entry.link:
                digest.add(volume, entry, entry.link.size, entry.link)
                continue
            try:
                status = os.stat(entry.name, dir_fd=entry.directory.fd, follow_symlinks=False)
            except OSError as error:
                raise unreadable(volume, entry.path, error) from error
            if not stat.S_ISREG(status.st_mode):
                raise changed(volume, entry.path)
            digest.add(volume, entry, status.st_size, Times.of(status))
    return digest
