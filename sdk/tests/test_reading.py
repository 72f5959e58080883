"""Which JSON is read at all."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topgraft_adapter import reading
from topgraft_adapter.errors import InvalidInputError
from topgraft_adapter.feedback import Feedback
from topgraft_adapter.reading import MAX_CONTAINERS, read_json
from topgraft_adapter.transform import transform
from topgraft_adapter.v2 import MAX_TENSORS, infer

MANY = b"[" + b"{}," * MAX_CONTAINERS + b"0]"


@pytest.mark.parametrize("reader", [read_json, lambda body: infer(None, body), lambda body: transform(None, body)])
def test_a_small_body_does_not_become_a_large_one(reader, monkeypatch):
    monkeypatch.setattr(reading.orjson, "loads", None)  # it is refused before it is read
    with pytest.raises(InvalidInputError, match="more than 200000 lists and objects"):
        reader(MANY)


def test_feedback_is_read_the_same_way():
    body = b"[" + b"[]," * MAX_CONTAINERS + b"0]"
    assert len(body) < 1024 * 1024
    with pytest.raises(InvalidInputError, match="more than 200000"):
        Feedback("v1").judge(body)


def test_brackets_in_texts_are_no_containers():
    text = '{"[' * MAX_CONTAINERS
    assert read_json(json.dumps({"text": text, "last": ["[\\"]}).encode()) == {"text": text, "last": ["[\\"]}


def test_as_many_as_are_allowed():
    assert len(read_json(b"[" + b"[]," * (MAX_CONTAINERS - 1) + b"0]")) == MAX_CONTAINERS


@pytest.mark.parametrize(
    "body", [b'\\"' * 2_000_000 + b"[" * 200_001, b'"' + b"\\[" * 2_000_000, b'"' + b"[" * 200_001 + b"\\"]
)
def test_text_without_an_end_is_passed_once(body):
    with pytest.raises(InvalidInputError, match="not valid JSON"):
        read_json(body)


@settings(max_examples=30)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_exactly_the_containers_are_counted(value):
    def containers(one):
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return isinstance(one, (dict, list)) + sum(map(containers, inner))

    body = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    assert reading._brackets(reading._STRING.sub(b"", body)) == containers(value)


def test_the_number_of_tensors_is_bounded():
    one = {"name": "x", "shape": [], "datatype": "FP32", "data": []}
    body = json.dumps({"inputs": [one] * (MAX_TENSORS + 1)}).encode()
    with pytest.raises(InvalidInputError, match=f"`inputs` has {MAX_TENSORS + 1} tensors, more than {MAX_TENSORS}"):
        infer(SimpleNamespace(names=[]), body)
