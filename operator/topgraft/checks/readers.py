"""Files read and hashed on all cores, answered in the order in which they were asked for."""

import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from queue import SimpleQueue

from topgraft.checks.failure import changed, unreadable
from topgraft.checks.pace import Pace
from topgraft.checks.stats import Times
from topgraft.checks.walk import Content, Entry

BUFFER_BYTES = 1 << 20
MAX_READERS = 16
WINDOW = 256
"""How many entries may be under way: it bounds memory and, with each holding a directory open, descriptors."""

# O_NONBLOCK: should a pipe take a file's place in flight, opening it must not wait for a writer.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Reading:
    """One entry under way; `done` is locked until `content` or `error` is there."""

    __slots__ = ("content", "done", "entry", "error", "times")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.content = entry.link
        self.times: Times | None = None
        self.error: Exception | None = None
        self.done = threading.Lock()
        if not entry.link:
            self.done.acquire()


class Readers:
    """One thread per core: hashlib lets the others run while it hashes a buffer.

    The threads are daemons: a read that hangs on a dead file server must not keep the process from ending.
    """

    def __init__(self, volume: str, count: int | None = None, pace: Pace | None = None) -> None:
        self._volume = volume
        self._pace = pace
        self._count = count or min(MAX_READERS, len(os.sched_getaffinity(0)))
        self._queue: SimpleQueue[_Reading | None] = SimpleQueue()
        self._stopped = False

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content, Times | None]]:
        """Yield each entry with its content and, if it is a file, its times, in the order given; raises CheckError."""
        for _ in range(self._count):
            threading.Thread(target=self._work, daemon=True).start()
        under_way: deque[_Reading] = deque()
        try:
            for entry in entries:
                reading = _Reading(entry)
                under_way.append(reading)
                if not entry.link:
                    self._queue.put(reading)
                if len(under_way) == WINDOW:
                    yield _finish(under_way.popleft())
            while under_way:
                yield _finish(under_way.popleft())
        finally:
            self._stopped = True
            for _ in range(self._count):
                self._queue.put(None)

    def _work(self) -> None:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while reading := self._queue.get():
            try:
                if not self._stopped:
                    reading.content, reading.times = self._hash(reading.entry, buffer)
            except OSError as error:
                reading.error = unreadable(self._volume, reading.entry.path, error)
            except Exception as error:
                reading.error = error
            reading.done.release()

    def _hash(self, entry: Entry, buffer: memoryview) -> tuple[Content, Times]:
        fd = os.open(entry.name, _FLAGS, dir_fd=entry.directory.fd)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise changed(self._volume, entry.path)
            content = hashlib.sha256()
            size = 0
            while (length := os.readv(fd, [buffer])) and not self._stopped:
                content.update(buffer[:length])
                size += length
                if self._pace:
                    self._pace.spend(length)
            after = os.fstat(fd)
            if not size == before.st_size == after.st_size or Times.of(after) != Times.of(before):
                raise changed(self._volume, entry.path)
            return Content(size, content.digest()), Times.of(before)
        finally:
            os.close(fd)


def _finish(reading: _Reading) -> tuple[Entry, Content, Times | None]:
    with reading.done:
        if reading.error:
            raise reading.error
        assert reading.content
        return reading.entry, reading.content, reading.times
