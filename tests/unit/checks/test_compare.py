"""Answers taken apart, and compared."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.checks.compare import comparison
from topgraft.checks.config import Golden, Tolerance
from topgraft.checks.outputs import AnswerError, Outputs, classes, parse


def golden(compare: str = "Exact", *tolerances: Tolerance) -> Golden:
    return Golden("f", "/", compare, tolerances, 100, frozenset(), 2, 10)  # type: ignore[arg-type]


def tensor(data: list[Any], name: str = "p", datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def answer(*tensors: dict[str, Any], version: str = "m-1") -> Outputs:
    parsed = parse(
        json.dumps({"model_name": "m", "model_version": version, "id": version, "outputs": tensors}).encode()
    )
    assert not parsed.problem
    return parsed.outputs


def tolerance(absolute: str = "0", relative: str = "0", name: str | None = None) -> Tolerance:
    return Tolerance(name, Fraction(absolute), Fraction(relative))


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ([tensor([1.5])], [tensor([1.5])], ""),
        ([tensor([1.5, 2])], [tensor([1.5, 2.0000001])], "p[1]: 2 → 2.0000001"),
        ([tensor([1, 2], shape=[1, 2])], [tensor([1, 2], shape=[2, 1])], "p: FP64[1, 2] → FP64[2, 1]"),
        ([tensor([1])], [tensor([1], datatype="INT64")], "p: FP64[1] → INT64[1]"),
        ([tensor([1])], [tensor([1], name="q")], 'outputs ["p"] → ["q"]'),
        ([tensor(["a"], datatype="BYTES")], [tensor(["b"], datatype="BYTES")], "p[0]: a → b"),
        ([tensor([[1, 2], [3, 4]], shape=[2, 2])], [tensor([1, 2, 3, 4], shape=[2, 2])], ""),
        ([tensor([1]), tensor([2], "q")], [tensor([2], "q"), tensor([1])], ""),
    ],
)
def test_exact(old: list[Any], new: list[Any], difference: str) -> None:
    compare = comparison(golden())
    assert compare(answer(*old), answer(*new, version="m-2"), None) == difference


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ({"output": {"y": 1}}, {"output": {"y": 1}, "took": 7}, True),
        ({"output": {"y": 1}}, {"output": {"y": True}}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        (
            {"id": "x", "created": 1, "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]},
            {"id": "y", "created": 2, "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]},
            True,
        ),
        ({"choices": [{"text": "Hi"}]}, {"choices": [{"text": "Ho"}]}, False),
        ({"choices": [{"text": "Hi"}]}, {"choices": []}, False),
    ],
)
def test_other_protocols(old: Any, new: Any, same: bool) -> None:
    compare = comparison(golden())
    assert (
        compare(parse(json.dumps(old).encode()).outputs, parse(json.dumps(new).encode()).outputs, None) == ""
    ) is same


@pytest.mark.parametrize(
    ("old", "new", "tolerances", "difference"),
    [
        (
            [0.1],
            [0.10001],
            [tolerance("1e-5")],
            "",
        ),  # exactly at it; in floats the difference is 1.0000000000010001e-05
        ([0.1], [0.100010001], [tolerance("1e-5")], "p[0]: 0.1 → 0.100010001"),
        ([100, 5], [101, 5], [tolerance(relative="0.01")], ""),
        ([100, 5], [101.1, 5], [tolerance(relative="0.01")], "p[0]: 100.0 → 101.1"),
        ([-100.0], [-101.0], [tolerance(relative="0.01")], ""),
        ([1, 2], [1.5, 2], [tolerance(name="q", absolute="1")], "p[0]: 1.0 → 1.5"),
        ([1, 2], [1.5, 2], [tolerance(name="p", absolute="1"), tolerance()], ""),
        ([1e308, 0], [-1e308, 0], [tolerance("1")], "p[0]: 1e+308 → -1e+308"),
        ([1, 2], [1, 2], [tolerance()], ""),
        ([0.001], [-1e-265], [tolerance("0.001")], "p[0]: 0.001 → -1e-265"),  # in floats the difference is 0.001
    ],
)
def test_tolerance(old: list[Any], new: list[Any], tolerances: list[Tolerance], difference: str) -> None:
    assert comparison(golden("Tolerance", *tolerances))(answer(tensor(old)), answer(tensor(new)), None) == difference


def test_tolerance_covers_neither_text_nor_shape() -> None:
    compare = comparison(golden("Tolerance", tolerance("10")))
    assert (
        compare(answer(tensor(["a"], datatype="BYTES")), answer(tensor(["b"], datatype="BYTES")), None) == "p[0]: a → b"
    )
    assert "→" in compare(answer(tensor([1.0])), answer(tensor([1.0, 1.0])), None)
    assert "→" in compare(answer(tensor([10**400], datatype="INT64")), answer(tensor([1], datatype="INT64")), None)


def test_tolerance_of_infinite_numbers() -> None:
    compare = comparison(golden("Tolerance", tolerance("10")))
    old, new = (
        parse(b'{"outputs":[{"name":"p","datatype":"FP64","shape":[1],"data":[%s]}]}' % n).outputs
        for n in (b"1e999", b"7")
    )
    assert compare(old, old, None) == ""
    assert compare(old, new, None) != ""
    assert compare(new, old, None) != ""


@pytest.mark.parametrize(
    ("old", "new", "labels", "difference"),
    [
        ([0.1, 0.9], [0.4, 0.6], None, ""),
        ([0.1, 0.9], [0.6, 0.4], None, "class 1 → 0"),
        ([0.1, 0.9], [0.6, 0.4], ("0",), ""),  # the bug is mended: labels decide
        ([0.1, 0.9], [0.6, 0.4], ("1",), "class 1 → 0"),
    ],
)
def test_top_one(old: list[float], new: list[float], labels: tuple[str, ...] | None, difference: str) -> None:
    compare = comparison(golden("TopOne"))
    outputs = [answer(tensor(scores, shape=[1, 2], datatype="FP32")) for scores in (old, new)]
    assert compare(outputs[0], outputs[1], labels) == difference


def test_top_one_needs_a_class() -> None:
    with pytest.raises(AnswerError, match="names no class"):
        comparison(golden("TopOne"))(answer(tensor([0.5])), answer(tensor([0.5])), None)


def test_top_one_of_a_batch_that_shrank() -> None:
    two, one = (answer(tensor(rows, datatype="INT32")) for rows in ([1, 2], [1]))
    assert comparison(golden("TopOne"))(two, one, None) == "class 1 → 1 classes instead of 2"


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        ([tensor([7], "digit", "INT32"), tensor([0.5, 0.5], shape=[1, 2])], ("7",)),
        ([tensor([0.1, 0.7, 0.2, 0.9, 0.0, 0.1], shape=[2, 3], datatype="FP32")], ("1", "0")),
        ([tensor([["cat"], ["dog"]], datatype="BYTES", shape=[2, 1])], ("cat", "dog")),
        ([tensor(list(range(6)), "tokens", "INT64", [1, 6]), tensor([0.2, 0.8], shape=[1, 2])], ("1",)),
        ([tensor([0.5])], None),
        ([tensor([10**400, 1], shape=[1, 2])], None),
        ([], None),
    ],
)
def test_classes(tensors: list[Any], named: tuple[str, ...] | None) -> None:
    assert classes(answer(*tensors)) == named


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"output": {"label": "spam"}}', ("spam",)),
        (b'{"output": {"score": 0.5, "labels": [1, 2]}}', ("1", "2")),
        (b'{"choices": [{"message": {"content": "yes"}}]}', ("yes",)),
        (b'{"choices": [{"message": {"content": "%s"}}]}' % (b"long " * 50), None),
        (b'"yes"', ("yes",)),
        (b'{"x": 1}', None),
    ],
)
def test_classes_of_other_protocols(body: bytes, named: tuple[str, ...] | None) -> None:
    assert classes(parse(body).outputs) == named


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "the answer is not JSON"),
        (b"", "the answer is not JSON"),
        (b'{"x": NaN}', "the answer is not JSON"),
        (b'{"x": "\xff"}', "the answer is not UTF-8"),
        (b"[" * 100_000, "the answer is not JSON"),
        (b'{"outputs": [7]}', "an entry of outputs is no object"),
        (json.dumps({"outputs": [tensor([1.0]), tensor([2.0])]}).encode(), "two outputs have the same name"),
        (b'{"outputs": [{}]}', "an output has no name or datatype"),
        (
            b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [-1], "data": []}]}',
            "an output's shape is no list of lengths",
        ),
        (b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [1]}]}', "an output has no data in JSON"),
        (
            b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [2], "data": [1]}]}',
            "an output's data do not fill its shape",
        ),
        (
            b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [2], "data": [[1], 2]}]}',
            "an output's data are ragged",
        ),
        (
            b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [1], "data": ["x"]}]}',
            "an output of datatype FP32 holds something that is no number",
        ),
    ],
)
def test_an_answer_that_is_not_well_formed_counts_whole(body: bytes, problem: str) -> None:
    parsed = parse(body)
    assert parsed.problem == problem
    assert list(parsed.outputs) == ["answer"]
    assert body not in repr(parsed).encode() or not body or body.startswith(b'{"outputs"')


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
tensors = st.fixed_dictionaries(
    {
        "outputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.just("p"),
                    "datatype": st.sampled_from(["FP32", "INT64", "BYTES", "x"]),
                    "shape": st.lists(st.integers(-1, 3), max_size=3),
                    "data": values,
                }
            )
        )
    }
)


@given(values | tensors, values | tensors)
def test_any_two_answers_can_be_compared(old: Any, new: Any) -> None:
    before, after = (parse(json.dumps(value).encode()).outputs for value in (old, new))
    for compare in (
        comparison(golden()),
        comparison(golden("Tolerance", tolerance("1", "1"))),
        comparison(golden("TopOne")),
    ):
        try:
            assert compare(before, before, None) == ""
            assert len(compare(before, after, None)) < 400
        except AnswerError:
            pass


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.decimals(0, 1, places=3), st.data())
def test_tolerance_is_its_formula(old: list[float], absolute: Any, data: st.DataObject) -> None:
    new = [data.draw(st.floats(number - 1, number + 1)) for number in old]
    same = all(abs(Fraction(repr(b)) - Fraction(repr(a))) <= Fraction(absolute) for a, b in zip(old, new, strict=True))
    assert (
        comparison(golden("Tolerance", tolerance(str(absolute))))(answer(tensor(old)), answer(tensor(new)), None) == ""
    ) is same
