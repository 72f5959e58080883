import contextlib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topgraft_adapter.datatypes import BadMapError, MismatchError, convert, from_text, kind_of, to_text

ROWS = [
    ("boolean", True, True),
    ("string", "grüße", "grüße"),
    ("integer", 3.6, 3),
    ("integer", -3.6, -3),
    ("integer", 3.0, 3),
    ("long", 2**63 - 1, 2**63 - 1),
    ("float", 1, 1.0),
    ("double", 0.1, 0.1),
    ("date", "2026-01-31", date(2026, 1, 31)),
    ("timestamp", "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ("timestamp", "2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ("timestamp", "2026-01-31 12:00+02:00", datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
    ("any", {"a": [None]}, {"a": [None]}),
    ("array<integer>", [1, 2.9], [1, 2]),
    ("array< array<string> >", [["a"], []], [["a"], []]),
    ("map<string,long>", {"a": 1}, {"a": 1}),
    ("map<long, array<boolean>>", {"7": [True]}, {7: [True]}),
]


@pytest.mark.parametrize(("data_type", "given", "wanted"), ROWS)
def test_casts_as_the_rules_say(data_type, given, wanted):
    made = convert(given, kind_of(data_type))
    assert made == wanted
    assert type(made) is type(wanted)


@pytest.mark.parametrize(
    ("data_type", "given", "actual"),
    [
        ("boolean", 1, "long"),
        ("string", 1, "long"),
        ("string", None, "null"),
        ("integer", True, "boolean"),
        ("integer", "3", "string"),
        ("double", "3", "string"),
        ("double", False, "boolean"),
        ("date", 1, "long"),
        ("array<integer>", 1, "long"),
        ("array<integer>", ["a"], "string"),
        ("map<string,long>", [1], "array"),
    ],
)
def test_names_what_came_instead(data_type, given, actual):
    with pytest.raises(MismatchError) as raised:
        convert(given, kind_of(data_type))
    assert raised.value.actual == actual


def test_a_parameter_is_not_cast():
    assert convert(3.0, kind_of("integer"), strict=True) == 3
    with pytest.raises(MismatchError):
        convert(3.6, kind_of("integer"), strict=True)


@pytest.mark.parametrize(
    ("data_type", "given"),
    [
        ("integer", 2**31),
        ("integer", -(2**31) - 1),
        ("long", 2**63),
        ("long", 1e300),
        ("float", 3.5e38),
        ("double", 10**400),
        ("date", "31.1.2026"),
        ("timestamp", "noon"),
        ("timestamp", "2026-13-01T00:00:00Z"),
    ],
)
def test_refuses_what_is_out_of_range(data_type, given):
    with pytest.raises(ValueError, match=r"out of range|ISO 8601"):
        convert(given, kind_of(data_type))


def test_a_maps_keys_have_their_type():
    with pytest.raises(BadMapError):
        convert({"a": 1}, kind_of("map<long,long>"))


@pytest.mark.parametrize(
    "named",
    [
        "",
        "int",
        "array",
        "array<>",
        "array<integer",
        "integer>",
        "map<date,long>",
        "map<string>",
        "array<" * 20,
        "x" * 99,
    ],
)
def test_refuses_types_that_are_none(named):
    with pytest.raises(ValueError, match=r"data type|map's type"):
        kind_of(named)


def test_one_spelling_of_a_type():
    assert str(kind_of(" map< long , array<any> > ")) == "map<long,array<any>>"


@given(st.text())
def test_no_text_breaks_the_reader_of_types(text):
    with contextlib.suppress(ValueError):
        assert kind_of(str(kind_of(text))) == kind_of(text)


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.datetimes(timezones=st.just(UTC)), st.dates())
def test_text_comes_back_as_it_was(numbers, moment, day):
    for value, named in ((numbers, "array<integer>"), (moment, "timestamp"), (day, "date")):
        assert from_text(to_text(value, kind_of(named)), kind_of(named)) == value
