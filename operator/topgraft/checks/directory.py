"""Directories held open, and links followed by hand: nothing here can leave the volume, whatever is swapped in flight.

Every name is opened relative to the open directory that it was found in and never through a symbolic link, so the
kernel itself refuses what a race would slip in.
"""

import os
import stat
from typing import NamedTuple

MAX_LINKS = 40
"""As many links as the kernel would follow for one path."""

Place = tuple[bytes, ...]
"""The way from the root of a volume to an object, free of links."""


class Directory:
    """An open directory. Its descriptor lives exactly as long as anything in it waits to be read."""

    __slots__ = ("fd",)

    def __init__(self, path: bytes, parent: "Directory | None" = None) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = -1
        self.fd = os.open(path, flags, dir_fd=parent.fd if parent else None)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def descend(self, place: Place) -> "Directory":
        """Open a directory below this one."""
        directory = self
        for name in place:
            directory = Directory(name, directory)
        return directory


class EscapeError(Exception):
    """A link leads out of its volume."""


class Reached(NamedTuple):
    """The end of a link: what stands there (`mode` as in stat, 0 for nothing), and whether the way led through a name
    that the digest skips."""

    place: Place
    mode: int
    through_skipped: bool


def is_skipped(name: bytes) -> bool:
    """Say whether a name at the root of a volume belongs to the way it is mounted, and not to the artifact: Kubernetes
    keeps the files of a ConfigMap or Secret behind `..data`, ext4 puts `lost+found` in a new file system."""
    return name.startswith(b"..") or name == b"lost+found"


def follow(root: Directory, parent: Place, target: bytes) -> Reached:
    """Follow a link whose text is `target` and which stands in the directory `parent`.

    Raises EscapeError when a step leads above the root or to an absolute path, OSError when a directory stays shut.
    A link to nothing, or in a circle, is inside the volume and reaches mode 0.
    """
    place = list(parent)
    todo = _steps(target)
    links = 0
    mode = stat.S_IFDIR
    through_skipped = False
    while todo:
        name = todo.pop()
        if name == b"..":
            if not place:
                raise EscapeError
            place.pop()
            mode = stat.S_IFDIR
            continue
        through_skipped = through_skipped or (not place and is_skipped(name))
        try:
            directory = root.descend(tuple(place))
            mode = os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                todo += _steps(os.readlink(name, dir_fd=directory.fd))
            else:
                place.append(name)
        except (FileNotFoundError, NotADirectoryError):
            mode = 0
        if mode == 0 or links > MAX_LINKS:
            return Reached(tuple(place), 0, through_skipped)
    return Reached(tuple(place), mode, through_skipped)


def _steps(target: bytes) -> list[bytes]:
    """The names of a link's text, the first one last."""
    if target.startswith(b"/"):
        raise EscapeError
    return [name for name in reversed(target.split(b"/")) if name not in (b"", b".")]
