"""The entries of a volume in the order of their paths' bytes, with bounded memory and few open descriptors."""

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from topgraft.checks.directory import Directory, EscapeError, Place, follow, is_skipped
from topgraft.checks.failure import CheckError, changed, shown, unreadable

MAX_ENTRIES = 1_000_000
MAX_DEPTH = 128


class Content(NamedTuple):
    """The size in bytes and the sha256 of what an entry holds."""

    size: int
    sha256: bytes


class Entry(NamedTuple):
    """A file to be read as `name` in `directory`, or a link, whose content is its text."""

    path: bytes
    directory: Directory
    name: bytes
    link: Content | None


class _Frame(NamedTuple):
    """A directory on the way: its names still to visit, the last one first, those of directories ending in a slash."""

    directory: Directory
    path: bytes
    place: Place
    names: list[bytes]
    links: set[bytes]


class Walk:
    """One pass over one volume; `path` is where it is mounted here.

    Only regular files, directories and links that stay inside are accepted, nothing else is ever opened. A link counts
    as its text, except where its way leads through a name that the digest skips: Kubernetes shows the keys of a
    ConfigMap or Secret as links into `..data`, and their bytes must count. Directories count only by what they hold.
    """

    def __init__(self, volume: str, path: str, max_entries: int = MAX_ENTRIES) -> None:
        self.volume = volume
        self._path = os.fsencode(path)
        self._left = self._max_entries = max_entries

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries; raises CheckError."""
        try:
            path = os.path.realpath(self._path, strict=True)
            if stat.S_ISREG(os.stat(path).st_mode):  # a volume whose subPath names a file
                yield Entry(b"", Directory(os.path.dirname(path)), os.path.basename(path), None)
                return
            root = Directory(path)
        except OSError as error:
            raise CheckError(
                "ArtifactUnreadable",
                f"{shown(self.volume, self._path)} cannot be opened: {error.strerror}; mount the volume there",
            ) from error
        yield from self._below(root)

    def _below(self, root: Directory) -> Iterator[Entry]:
        frames = [self._list(root, _Frame(root, b"", (), [], set()))]
        while frames:
            frame = frames[-1]
            if not frame.names:
                frames.pop()
                continue
            name = frame.names.pop()
            found = self._through(root, frame, name) if name in frame.links else self._plain(frame, name)
            if isinstance(found, Entry):
                yield found
            elif len(frames) == MAX_DEPTH:
                raise self._too_large(found.path, f"is more than {MAX_DEPTH} directories deep")
            else:
                frames.append(self._list(root, found))

    def _list(self, root: Directory, frame: _Frame) -> _Frame:
        """Read the names of a directory. Those of directories are kept with their slash, so that the walk meets paths
        in the order of their bytes."""
        names, links = frame.names, frame.links
        try:
            with os.scandir(frame.directory.fd) as found:
                for item in found:
                    name = os.fsencode(item.name)
                    if not frame.path and is_skipped(name):
                        continue
                    self._count(frame.path)
                    if item.is_symlink():
                        name = self._mark_link(root, frame, name)
                        links.add(name)
                    elif item.is_dir(follow_symlinks=False):
                        name += b"/"
                    elif not item.is_file(follow_symlinks=False):
                        raise self._special(frame.path + name)
                    names.append(name)
        except OSError as error:
            raise unreadable(self.volume, frame.path, error) from error
        names.sort(reverse=True)
        return frame

    def _mark_link(self, root: Directory, frame: _Frame, name: bytes) -> bytes:
        seen = self._follow(root, frame, name)[1]
        return name + b"/" if seen is not None and stat.S_ISDIR(seen[1]) else name

    def _plain(self, frame: _Frame, name: bytes) -> Entry | _Frame:
        path = frame.path + name
        if not name.endswith(b"/"):
            return Entry(path, frame.directory, name, None)
        try:
            directory = Directory(name[:-1], frame.directory)
        except OSError as error:
            raise unreadable(self.volume, path, error) from error
        return _Frame(directory, path, (*frame.place, name[:-1]), [], set())

    def _through(self, root: Directory, frame: _Frame, name: bytes) -> Entry | _Frame:
        """A link: an entry of its own, or what stands behind it."""
        path = frame.path + name
        text, seen = self._follow(root, frame, name.rstrip(b"/"))
        if (seen is not None and stat.S_ISDIR(seen[1])) != name.endswith(b"/"):
            raise changed(self.volume, path)
        if seen is None:
            return Entry(path, frame.directory, name, Content(len(text), hashlib.sha256(text).digest()))
        place, mode = seen
        try:
            if stat.S_ISDIR(mode):
                return _Frame(root.descend(place), path, place, [], set())
            return Entry(path, root.descend(place[:-1]), place[-1], None)
        except OSError as error:
            raise unreadable(self.volume, path, error) from error

    def _follow(self, root: Directory, frame: _Frame, name: bytes) -> tuple[bytes, tuple[Place, int] | None]:
        """The text of a link and, if its way leads through a skipped name, the place and mode that it reaches."""
        path = frame.path + name
        try:
            text = os.readlink(name, dir_fd=frame.directory.fd)
            place, mode, through_skipped = follow(root, frame.place, text)
        except EscapeError:
            raise CheckError(
                "ArtifactPathEscapes",
                f"{shown(self.volume, path)} is a link that leads out of the volume; put the file itself there, or a "
                "relative link to a file in the same volume",
            ) from None
        except OSError as error:
            raise unreadable(self.volume, path, error) from error
        if not mode or not through_skipped:
            return text, None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise self._special(path)
        return text, (place, mode)

    def _count(self, path: bytes) -> None:
        if not self._left:
            raise self._too_large(path, f"is over the limit of {self._max_entries:,} files, links and directories")
        self._left -= 1

    def _too_large(self, path: bytes, what: str) -> CheckError:
        remedy = "pack the artifact into fewer files, or mount only the part that is served"
        return CheckError("ArtifactTooLarge", f"{shown(self.volume, path)} {what}; {remedy}")

    def _special(self, path: bytes) -> CheckError:
        remedy = "an artifact holds only files, directories and links"
        return CheckError("ArtifactUnreadable", f"{shown(self.volume, path)} is a device, a pipe or a socket; {remedy}")
