import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from topgraft_adapter.tensors import cast, from_value, parse

INTEGERS = {
    name: np.dtype(name.lower()) for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
}


@given(st.data())
def test_integers_come_through_flat_and_nested(data):
    name = data.draw(st.sampled_from(sorted(INTEGERS)))
    tensor = data.draw(hnp.arrays(INTEGERS[name], hnp.array_shapes(min_dims=1, max_dims=4, min_side=0)))
    for content in (tensor.tolist(), tensor.ravel().tolist()):
        parsed = parse(name, list(tensor.shape), content)
        assert parsed.dtype == tensor.dtype
        assert parsed.shape == tensor.shape
        assert (parsed == tensor).all()


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=1, max_dims=3), elements={"allow_nan": False, "allow_infinity": False}
    )
)
def test_floats_come_through(tensor):
    assert (parse("FP32", list(tensor.shape), tensor.tolist()) == tensor).all()


@given(st.sampled_from(sorted(INTEGERS)), st.integers(-(2**70), 2**70))
def test_an_integer_is_kept_or_refused_but_never_wrapped(name, value):
    bounds = np.iinfo(INTEGERS[name])
    if bounds.min <= value <= bounds.max:
        assert parse(name, [1], [value]).item() == value
    else:
        with pytest.raises(ValueError, match="out of range"):
            parse(name, [1], [value])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_is_cut_off_or_refused(value):
    if -(2**31) <= math.trunc(value) < 2**31:
        assert cast(np.array([value]), "integer").item() == math.trunc(value)
    else:
        with pytest.raises(ValueError, match="out of range"):
            cast(np.array([value]), "integer")


def test_the_border_of_64_bits_is_not_rounded():
    assert cast(np.array([2**63 - 1]), "long").item() == 2**63 - 1
    with pytest.raises(ValueError, match="out of range"):
        cast(np.array([float(2**63)]), "long")


def test_pieces_join():
    values = list(range(250_001))
    assert (parse("INT32", [250_001], values) == np.arange(250_001)).all()


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("BF16", [1], [1], "datatype 'BF16' must be one of"),
        (None, [1], [1], "datatype"),
        (["FP32"], [1], [1], "datatype"),
        ("FP32", "1", [1], "list of lengths"),
        ("FP32", [-1], [1], "list of lengths"),
        ("FP32", [True], [1], "list of lengths"),
        ("FP32", [1.0], [1], "list of lengths"),
        ("FP32", [1] * 33, [1], "33 dimensions"),
        ("FP32", [0, 2**40], [], "above 2147483648"),
        ("FP32", [2], [1], "1 values"),
        ("FP32", [2, 2], [[1, 2], [3]], "does not have shape"),
        ("FP32", [2, 2], [[1, 2], 3], "does not have shape"),
        ("FP32", [4], [[1, 2], [3, 4]], "not shape"),
        ("FP32", [2, 2], [[[1], [2]], [[3], [4]]], "lists"),
        ("FP32", [], [[1]], "not shape"),
        ("FP32", [1], 1, "must be a list"),
        ("FP32", [1], {"0": 1}, "must be a list"),
        ("FP32", [1], [None], "null"),
        ("FP32", [1], ["1"], "strings"),
        ("INT32", [1], [True], "true or false"),
        ("BOOL", [1], [1], "numbers"),
        ("BYTES", [1], [1], "numbers"),
        ("FP32", [1], [1e300], "out of range"),
        ("FP16", [1], [70000], "out of range"),
    ],
)
def test_refuses_with_a_reason(datatype, shape, data, message):
    with pytest.raises(ValueError, match=message):
        parse(datatype, shape, data)


def test_casts_between_families_are_refused():
    with pytest.raises(ValueError, match="strings cannot become float"):
        cast(parse("BYTES", [1], ["1"]), "float")
    with pytest.raises(ValueError, match="numbers cannot become string"):
        cast(parse("INT8", [1], [1]), "string")
    assert cast(parse("UINT8", [2], [0, 1]), "boolean").tolist() == [False, True]
    with pytest.raises(ValueError, match="other than 0 and 1"):
        cast(parse("UINT8", [1], [2]), "boolean")


@pytest.mark.parametrize(
    ("value", "data_type"),
    [
        ([float("nan")], "float"),
        ([1e300], "float"),
        (["a"], "long"),
        ([1], "string"),
        ([1 + 2j], "double"),
        ([[1], [1, 2]], "long"),
    ],
)
def test_what_an_adapter_returns_is_checked(value, data_type):
    with pytest.raises((ValueError, TypeError)):
        from_value(value, data_type)
