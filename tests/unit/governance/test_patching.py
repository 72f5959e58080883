"""The patch actions, with the vectors of the document: A is patched into B.

Two of its 28 examples contradict the others and its own rules: the third of merge loses a key that nobody removes, the
second of remove adds to a list that the ninth takes away.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.governance.patching import ACTIONS, merge, overwrite, remove

Object = dict[str, Any]

MERGE: list[tuple[Object, Object, Object]] = [
    ({"a": [1, 2, 3]}, {"blah": True}, {"blah": True, "a": [1, 2, 3]}),
    ({"a": [{"id": 1}]}, {"a": [{"id": 2}]}, {"a": [{"id": 2}, {"id": 1}]}),
    (
        {"a": [{"id": "1"}], "blah": 1},
        {"a": [{"id": "2"}], "blah": "string"},
        {"a": [{"id": "2"}, {"id": "1"}], "blah": 1},
    ),
    (
        {"a": [{"id": "1", "hey": True}], "blah": 1},
        {"a": [{"id": "1", "foo": "bar", "hey": False}, {"id": "2"}], "blah": "string"},
        {"a": [{"hey": True, "id": "1", "foo": "bar"}, {"id": "2"}], "blah": 1},
    ),
    (
        {"a": [{"blah": "1"}], "blah": 1},
        {"a": [{"blah": "2"}], "blah": "string"},
        {"a": [{"blah": "2"}, {"blah": "1"}], "blah": 1},
    ),
    (
        {"a": [{"blah": "1"}], "blah": 1, "dict": {"a": 1, "b": 2}},
        {"a": [{"blah": "2"}], "blah": "string"},
        {"a": [{"blah": "2"}, {"blah": "1"}], "blah": 1, "dict": {"a": 1, "b": 2}},
    ),
    ({"key1": True}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": True}),
    (
        {"key1": {"key2": True}},
        {"key1": {"key2": "value2", "key3": "value3"}},
        {"key1": {"key2": True, "key3": "value3"}},
    ),
    (
        {"key1": {"key2": {"key4": "value4"}}},
        {"key1": {"key2": "value2", "key3": "value3"}},
        {"key1": {"key2": {"key4": "value4"}, "key3": "value3"}},
    ),
    (
        {
            "key1": {"key2": {"key9": "value9"}, "key3": {"key4": "value4", "key10": [1, 2, 3]}},
            "key6": {"key11": "value11"},
        },
        {"key1": {"key2": "value2", "key3": {"key4": {"key5": "value5"}}}, "key6": {"key7": {"key8": "value8"}}},
        {
            "key1": {"key2": {"key9": "value9"}, "key3": {"key4": "value4", "key10": [1, 2, 3]}},
            "key6": {"key7": {"key8": "value8"}, "key11": "value11"},
        },
    ),
    ({"key1": {"key2": {}}}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": {"key2": {}, "key3": "value3"}}),
    (
        {"key1": {"key2": None}},
        {"key1": {"key2": "value2", "key3": "value3"}},
        {"key1": {"key2": "value2", "key3": "value3"}},
    ),
    ({"key1": []}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": []}),
    ({"key1": {"key2": []}}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": {"key2": [], "key3": "value3"}}),
    (
        {"key1": {"key2": [{"key3": "value3"}]}},
        {"key1": {"key2": {"key3": "value3"}}},
        {"key1": {"key2": [{"key3": "value3"}]}},
    ),
    (
        {"key1": {"key2": {"key3": [{"key4": "value4"}]}}},
        {"key1": {"key2": []}},
        {"key1": {"key2": {"key3": [{"key4": "value4"}]}}},
    ),
]
REMOVE: list[tuple[Object, Object, Object]] = [
    (
        {"a": [{"id": "1"}], "blah": 1},
        {"a": [{"id": "2"}, {"id": "3"}, {"id": "1"}], "blah": "string"},
        {"a": [{"id": "2"}, {"id": "3"}], "blah": 1},
    ),
    ({"key1": {"key2": True}}, {"key1": {"key2": "value2"}}, {"key1": {}}),
    ({"key1": True}, {"key1": {"key2": "value2", "key3": "value3"}}, {}),
    ({"key1": {"key2": True}}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": {"key3": "value3"}}),
    (
        {"key1": {"key2": {"key3": True}, "key4": True}},
        {"key1": {"key2": {"key3": {"key5": "value5"}}, "key4": {"key6": {"key7": "value7"}}}},
        {"key1": {"key2": {}}},
    ),
    (
        {"key1": True},
        {"key1": {"key2": "value2", "key3": "value3"}, "key4": ["a", "b", "c"]},
        {"key4": ["a", "b", "c"]},
    ),
    (
        {"key1": {"key2": False, "key3": True}, "key4": False},
        {
            "key1": {"key2": "value2", "key3": "value3"},
            "key4": [{"key5": "value5", "key6": "value6"}, {"key7": "value7"}],
        },
        {"key1": {"key2": False}, "key4": False},
    ),
    ({"key1": [{"key2": True}]}, {"key1": [{"key2": "value2"}, {"key3": "value3"}]}, {}),
    ({"key1": {}}, {"key1": {"key2": "value2", "key3": "value3"}}, {"key1": {"key2": "value2", "key3": "value3"}}),
    (
        {"key1": {"key2": None}},
        {"key1": {"key2": "value2", "key3": "value3"}},
        {"key1": {"key2": "value2", "key3": "value3"}},
    ),
]


@pytest.mark.parametrize(("patch", "value", "result"), MERGE)
def test_merge(patch: Object, value: Object, result: Object) -> None:
    assert merge(patch, value) == result


@pytest.mark.parametrize(("patch", "value", "result"), REMOVE)
def test_remove(patch: Object, value: Object, result: Object) -> None:
    assert remove(patch, value) == result


def test_there_are_26_vectors() -> None:
    assert len(MERGE) + len(REMOVE) == 26


@pytest.mark.parametrize(
    ("patch", "value", "result"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": None}, {}, {}),
        ({"a": {"b": None}}, {}, {"a": {}}),
        ({"a": [1]}, {"a": [1]}, {"a": [1, 1]}),
        ({"a": [{"id": 1, "x": [1]}]}, {"a": [{"id": 1, "x": [2]}, "odd"]}, {"a": [{"id": 1, "x": [2, 1]}, "odd"]}),
        ({"a": [{"id": 1}, {"id": 1, "x": 1}]}, {"a": []}, {"a": [{"id": 1, "x": 1}]}),
        ({"a": [{"id": {}}]}, {"a": [{"id": {}}]}, {"a": [{"id": {}}, {"id": {}}]}),
    ],
)
def test_merge_at_its_edges(patch: Object, value: Object, result: Object) -> None:
    assert merge(patch, value) == result


@pytest.mark.parametrize(
    ("patch", "value", "result"),
    [
        ({"a": True}, {}, {}),
        ({"a": {"b": True}}, {}, {}),
        ({"a": {"b": True}}, {"a": "text"}, {"a": "text"}),
        ({"a": [{"id": 1}]}, {"a": "text"}, {}),
        ({"a": []}, {"a": [1]}, {"a": [1]}),
        ({"a": [{"id": 1}]}, {"a": ["odd", {"id": 1}, {"id": 2}]}, {"a": ["odd", {"id": 2}]}),
        ({"a": 0}, {"a": 1}, {"a": 0}),
        ({"a": "b"}, {}, {"a": "b"}),
    ],
)
def test_remove_at_its_edges(patch: Object, value: Object, result: Object) -> None:
    assert remove(patch, value) == result


def test_overwrite_leaves_nothing_of_what_was_there() -> None:
    assert overwrite({"a": {"b": 1}}, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a", "b"]), inner, max_size=3),
    max_leaves=12,
)
OBJECT = st.dictionaries(st.sampled_from(["id", "a", "b", "c"]), JSON, max_size=4)


@given(patch=OBJECT, value=OBJECT)
def test_no_action_fails_or_changes_or_shares_what_it_is_given(patch: Object, value: Object) -> None:
    for action in ACTIONS.values():
        given_patch, given_value = copy.deepcopy(patch), copy.deepcopy(value)
        result = action(patch, value)
        scribble(result)
        assert (patch, value) == (given_patch, given_value)


def scribble(node: Any) -> None:
    """Change everything in place."""
    if isinstance(node, dict):
        for inner in node.values():
            scribble(inner)
        node["scribbled"] = True
    elif isinstance(node, list):
        for inner in node:
            scribble(inner)
        node.append("scribbled")


@given(patch=OBJECT, value=OBJECT)
def test_what_a_patch_does_not_name_stays(patch: Object, value: Object) -> None:
    for action in (merge, remove):
        result = action(patch, value)
        assert {name: old for name, old in value.items() if name not in patch}.items() <= {
            name: new for name, new in result.items() if name not in patch
        }.items() or not value
        assert set(result) <= set(patch) | set(value)
