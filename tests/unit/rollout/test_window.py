"""Maintenance windows: nights, weeks, changes of the clocks, and zones that nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from topgraft.api.policy import MaintenanceWindow
from topgraft.rollout.window import is_open, next_opening, unknown_zones

BERLIN = "Europe/Berlin"


def window(days: str, start: str, hours: int, zone: str = BERLIN) -> MaintenanceWindow:
    return MaintenanceWindow.model_validate(
        {"days": days.split(), "start": start, "hours": hours, **({"timeZone": zone} if zone else {})}
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHT = window("Fri", "22:00", 8)
SUNDAY = window("Sun", "00:00", 24)
GAP = window("Sun", "02:30", 1)
OVERLAP = window("Sun", "02:30", 2)


@pytest.mark.parametrize(
    ("one", "now", "expected"),
    [
        # Friday 2026-11-20, 22:00 in Berlin is 21:00 UTC.
        (NIGHT, "2026-11-20T20:59:59", False),
        (NIGHT, "2026-11-20T21:00:00", True),
        (NIGHT, "2026-11-21T04:59:59", True),  # Saturday morning
        (NIGHT, "2026-11-21T05:00:00", False),
        (NIGHT, "2026-11-21T22:00:00", False),  # Saturday night is another day
        (SUNDAY, "2026-11-21T22:59:59", False),
        (SUNDAY, "2026-11-21T23:00:00", True),
        (SUNDAY, "2026-11-22T22:59:59", True),
        (SUNDAY, "2026-11-22T23:00:00", False),
        # Spring: on 2026-03-29 the clocks jump from 02:00 to 03:00, at 01:00 UTC. 02:30 does not exist: 03:30.
        (GAP, "2026-03-29T01:29:59", False),
        (GAP, "2026-03-29T01:30:00", True),
        (GAP, "2026-03-29T02:30:00", False),
        # That Sunday has 23 hours, the window has 24: until 01:00 of Monday, 23:00 UTC.
        (SUNDAY, "2026-03-29T22:59:59", True),
        (SUNDAY, "2026-03-29T23:00:00", False),
        # Autumn: on 2026-10-25 03:00 becomes 02:00, at 01:00 UTC. 02:30 comes twice: the first, 00:30 UTC.
        (OVERLAP, "2026-10-25T00:29:59", False),
        (OVERLAP, "2026-10-25T00:30:00", True),
        (OVERLAP, "2026-10-25T02:29:59", True),
        (OVERLAP, "2026-10-25T02:30:00", False),
        # That Sunday has 25 hours, the window has 24: until 23:00, 22:00 UTC.
        (SUNDAY, "2026-10-25T21:59:59", True),
        (SUNDAY, "2026-10-25T22:00:00", False),
        # Without a zone: UTC.
        (window("Sun", "23:30", 1, ""), "2026-11-23T00:29:59", True),
        (window("Sun", "23:30", 1, ""), "2026-11-23T00:30:00", False),
        # Far from Greenwich, where the local day is another one.
        (window("Mon", "01:00", 1, "Pacific/Kiritimati"), "2026-11-22T11:00:00", True),
        (window("Sat", "23:00", 1, "Pacific/Pago_Pago"), "2026-11-22T10:00:00", True),
    ],
)
def test_a_window_is_open_from_its_start_for_so_many_hours(one: MaintenanceWindow, now: str, expected: bool) -> None:
    assert is_open([one], utc(now)) is expected


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        ([NIGHT], "2026-11-22T12:00:00", "2026-11-27T21:00:00"),
        ([NIGHT], "2026-11-20T21:00:00", "2026-11-27T21:00:00"),  # it begins now: the next one is in a week
        ([NIGHT, SUNDAY], "2026-11-23T12:00:00", "2026-11-27T21:00:00"),
        ([SUNDAY, NIGHT], "2026-11-28T12:00:00", "2026-11-28T23:00:00"),
        ([window("Mon Tue Wed Thu Fri", "12:00", 1)], "2026-11-20T12:00:00", "2026-11-23T11:00:00"),
        ([GAP], "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        ([NIGHT], "2026-03-28T12:00:00", "2026-04-03T20:00:00"),  # summer time by then
        ([window("Sun", "02:00", 1, "Mars/Phobos"), NIGHT], "2026-11-22T12:00:00", "2026-11-27T21:00:00"),
    ],
)
def test_the_next_opening(windows: list[MaintenanceWindow], now: str, expected: str) -> None:
    found = next_opening(windows, utc(now))
    assert found is not None
    assert found[0] == utc(expected)
    assert found[1] in windows


@pytest.mark.parametrize("zone", ["Mars/Phobos", "Europe", "europe/berlln", "/etc/localtime", "Etc/UTC/", "A" * 64])
def test_an_unknown_zone_never_opens_and_is_named(zone: str) -> None:
    windows = [NIGHT, window("Sun", "00:00", 24, zone)]
    assert unknown_zones(windows) == [(1, zone)]
    assert not is_open(windows[1:], utc("2026-11-22T12:00:00"))
    assert next_opening(windows[1:], utc("2026-11-22T12:00:00")) is None


@example({"Mon"}, (0, 0), 1, BERLIN, datetime(2020, 3, 23, tzinfo=UTC))
@given(
    days=st.sets(st.sampled_from(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")), min_size=1),
    start=st.tuples(st.integers(0, 23), st.integers(0, 59)),
    hours=st.integers(1, 24),
    zone=st.sampled_from((BERLIN, "Etc/UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati")),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
)
def test_what_is_promised_comes_true(
    days: set[str], start: tuple[int, int], hours: int, zone: str, now: datetime
) -> None:
    one = window(" ".join(sorted(days)), f"{start[0]:02}:{start[1]:02}", hours, zone)
    found = next_opening([one], now)
    assert found is not None
    begin = found[0]
    assert now < begin <= now + timedelta(days=7, hours=2), "it begins at least once a week"
    assert is_open([one], begin)
    assert is_open([one], begin + timedelta(hours=hours, seconds=-1))
    following = next_opening([one], begin)
    assert following is not None
    if following[0] > begin + timedelta(hours=hours):
        assert not is_open([one], begin + timedelta(hours=hours))
    if not is_open([one], now):
        between = now + (begin - now) / 2
        assert not is_open([one], between), "closed means closed until the moment that was named"
