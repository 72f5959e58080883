"""Which Models need a look, and when."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

Key = tuple[str, str]
"""(namespace, name) of a Model."""

FIRST_RETRY = 0.02
LONGEST_RETRY = 60.0


class WorkQueue:
    """A set of keys to work on.

    A key is in one worker's hands at a time; a wake-up that arrives meanwhile is worked off right after; any number of
    wake-ups before a turn is one turn. Per key there is one timer: the earliest deadline wins, and the start of a turn
    clears it, because the turn itself finds out when to look again.
    """

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key | None] = asyncio.Queue()
        self._closed = False
        self._dirty: set[Key] = set()
        self._busy: set[Key] = set()
        self._failures: Counter[Key] = Counter()
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._dirty)

    @property
    def busy(self) -> int:
        return len(self._busy)

    def add(self, key: Key) -> None:
        if key not in self._dirty:
            self._dirty.add(key)
            if key not in self._busy:
                self._ready.put_nowait(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Wake `key` in `delay` seconds, unless it wakes earlier."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + delay
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= deadline:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(deadline, self._ring, key)

    def _ring(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    async def get(self) -> Key | None:
        """The next key, which `done` must follow; None when the queue is closed."""
        key = await self._ready.get()
        if self._closed or key is None:
            self._ready.put_nowait(None)
            return None
        self._dirty.remove(key)
        self._busy.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        self._busy.remove(key)
        if key in self._dirty:
            self._ready.put_nowait(key)

    def succeeded(self, key: Key) -> None:
        """The next failure of `key` starts from the shortest wait again."""
        self._failures.pop(key, None)

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """Wake `key` after a wait that doubles with each failure in a row, with jitter. Returns the seconds."""
        failures = self._failures[key]
        self._failures[key] = failures + 1
        # min() before the power: a key that fails for days must not overflow a float.
        longest = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures, 16))
        delay = max(longest * random.uniform(0.5, 1.0), at_least)  # noqa: S311 - jitter, not a secret
        self.add_after(key, delay)
        return delay

    def close(self) -> None:
        """Hand out no more keys, wake every worker that waits for one."""
        self._closed = True
        self._ready.put_nowait(None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
