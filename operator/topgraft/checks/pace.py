"""A limit on how fast all threads together may read."""

import threading
import time


class Pace:
    """So many bytes a second in the long run; nothing is saved up for a burst."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._due = time.monotonic()

    def spend(self, count: int) -> None:
        """Wait until `count` bytes, which were read, are within the limit."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now) + count / self._rate
            wait = self._due - now
        time.sleep(wait)
