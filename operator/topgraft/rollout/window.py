"""Maintenance windows: whether one is open, and when the next one opens.

`zoneinfo` reads the time zone database from files, once for each zone of a process. It counts as data here, as the
interpreter's own tables do: nothing else is read, nothing is written, and an answer depends on the arguments alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from topgraft.api.policy import MaintenanceWindow

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BACK = 2
"""Days to look back: a window lasts up to 24 hours, and a clock change may have let it begin an hour late."""
AHEAD = 9
"""Days to look ahead, from a day before: every window begins once in a week, and a clock change in between may put the
local date of that time yesterday another day back."""


def is_open(windows: Iterable[MaintenanceWindow], now: datetime) -> bool:
    """Whether `now` (aware) lies in one of the windows: from its start, which counts, to its end, which does not."""
    return any(
        begin <= now < begin + timedelta(hours=window.hours)
        for window in windows
        for begin in _begins(window, now - timedelta(days=BACK), BACK + 1)
    )


def next_opening(windows: Iterable[MaintenanceWindow], now: datetime) -> tuple[datetime, MaintenanceWindow] | None:
    """When the next window begins after `now`, in UTC, and which it is; None where no time zone is known."""
    found = [
        (begin, window)
        for window in windows
        for begin in _begins(window, now - timedelta(days=1), AHEAD)
        if begin > now
    ]
    return min(found, key=lambda one: one[0], default=None)


def unknown_zones(windows: Iterable[MaintenanceWindow]) -> list[tuple[int, str]]:
    """Index and time zone of each window that can never open, because nobody knows its zone."""
    return [(index, window.time_zone) for index, window in enumerate(windows) if zone_of(window) is None]


def zone_of(window: MaintenanceWindow) -> ZoneInfo | None:
    """The window's time zone, or None where the database has no such one."""
    try:
        return ZoneInfo(window.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A directory of the database, such as "Europe", or a path out of it is no zone either.
        return None


def _begins(window: MaintenanceWindow, since: datetime, days: int) -> Iterator[datetime]:
    """When the window begins on the local dates from that of `since` on, in UTC.

    A start that the clocks skip in spring is as much later as they jump; one that comes twice in autumn is the first.
    `hours` are hours that pass, so a window over a change of the clocks ends an hour earlier or later by them.
    """
    zone = zone_of(window)
    if zone is None:
        return
    hour, minute = (int(part) for part in window.start.split(":"))
    first = since.astimezone(zone).date()
    for day in (first + timedelta(days=offset) for offset in range(days + 1)):
        if DAYS[day.weekday()] in window.days:
            yield datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
