"""Time limits of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """Calls `late` with each thing that is not done so many seconds after it began, on the event loop.

    All have the same time, so the oldest is the next, and one timer does for all: a timer of each request's own, set
    and taken back, would cost more than finding the route.
    """

    def __init__(self, seconds: float, late: Callable[[K], object]) -> None:
        self._seconds = seconds
        self._late = late
        self._begun: dict[K, float] = {}
        self._watched = False

    def begin(self, thing: K) -> None:
        """From now on."""
        loop = asyncio.get_running_loop()
        self._begun[thing] = loop.time()
        if not self._watched:
            self._watched = True
            loop.call_later(self._seconds, self._look)

    def done(self, thing: K) -> bool:
        """It is done; False if it was late."""
        return self._begun.pop(thing, None) is not None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() - self._seconds
        for thing in [thing for thing, begun in self._begun.items() if begun <= due]:
            del self._begun[thing]
            self._late(thing)
        oldest = next(iter(self._begun.values()), None)
        self._watched = oldest is not None
        if oldest is not None:
            loop.call_at(oldest + self._seconds, self._look)
