"""Time that only moves forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

# Counts through a suspended machine, where CLOCK_MONOTONIC stands still: a leader that slept must know that it did.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds on a clock that nobody can set."""
    return time.clock_gettime(_CLOCK)


class Clock:
    """The wall clock at the start of the process plus what elapsed since: a clock set in mid-flight ends no bake."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._origin = elapsed()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=elapsed() - self._origin)
