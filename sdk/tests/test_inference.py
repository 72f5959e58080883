import json

import numpy as np
import orjson
import pytest
from adapters import Moody, Scale, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from topgraft_adapter import Array, FileSystem, Object, Parameter
from topgraft_adapter.errors import InvalidInputError, OutputError
from topgraft_adapter.inference import Target, metadata
from topgraft_adapter.v2 import infer

SCALE = Target(Scale(2), Scale.api(), "m", "m-1")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def ask(adapter, request):
    return json.loads(infer(Target(adapter, adapter.api(), "m", "m-1"), orjson.dumps(request)).body)


def rows(*values, **more):
    return {"inputs": [{"name": "x", "shape": [len(values), 4], "datatype": "FP32", "data": list(values), **more}]}


def test_answers_with_id_model_and_version():
    answer = ask(Scale(2), {"id": "a-7", **rows([1, 2, 3, 4], [5, 6, 7, 8])})
    assert answer == {
        "model_name": "m",
        "model_version": "m-1",
        "id": "a-7",
        "outputs": [{"name": "y", "shape": [2, 4], "datatype": "FP32", "data": [2, 4, 6, 8, 10, 12, 14, 16]}],
    }
    assert "id" not in ask(Scale(2), rows([1, 2, 3, 4]))


def test_an_empty_batch_is_answered():
    assert ask(Scale(2), rows())["outputs"][0]["shape"] == [0, 4]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body):
    with pytest.raises(InvalidInputError):
        infer(SCALE, body)


@settings(max_examples=300)
@given(JSON)
def test_any_json_is_refused(value):
    with pytest.raises(InvalidInputError):
        ask(Scale(2), value)


@settings(max_examples=500)
@given(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("x") | JSON},
                    optional={
                        "shape": st.just([1, 4]) | JSON,
                        "datatype": st.sampled_from(["FP32", "INT8", "BYTES", "BOOL"]) | JSON,
                        "data": st.just([1, 2, 3, 4]) | JSON,
                        "parameters": JSON,
                    },
                ),
                max_size=3,
            )
        },
        optional={"id": JSON, "outputs": JSON, "parameters": JSON},
    )
)
def test_almost_right_requests_are_answered_or_refused(request):
    try:
        answer = ask(Scale(2), request)
    except InvalidInputError:
        return
    assert answer["outputs"][0]["shape"][1] == 4


@given(st.text(), st.booleans())
def test_text_comes_through(name, shout):
    answer = ask(Table(1), people(name, shout=shout))
    texts = {output["name"]: output for output in answer["outputs"]}
    assert texts["greetings.text"]["data"] == [name.upper() if shout else name]


def people(*names, shout=False, **more):
    fields = {
        "people.name": ("BYTES", list(names)),
        "people.age": ("FP64", [30.9] * len(names)),
        **more,
    }
    inputs = [{"name": n, "shape": [len(v)], "datatype": d, "data": v} for n, (d, v) in fields.items()]
    inputs.append({"name": "shout", "shape": [1], "datatype": "BOOL", "data": [shout]})
    return {"inputs": inputs}


def test_tables_are_columns_and_the_types_are_cast():
    answer = ask(Table(1), people("ada", "bob", **{"suffix": ("BYTES", ["!"]), "people.extra": ("INT8", [1, 2])}))
    assert answer["outputs"] == [
        {"name": "greetings.text", "shape": [2], "datatype": "BYTES", "data": ["ada!", "bob!"]},
        {"name": "greetings.age", "shape": [2], "datatype": "INT64", "data": [30, 30]},
        {"name": "count", "shape": [1], "datatype": "INT64", "data": [2]},
    ]


def test_only_the_outputs_that_were_asked_for():
    answer = ask(Table(1), {**people("ada"), "outputs": [{"name": "count"}]})
    assert [output["name"] for output in answer["outputs"]] == ["count"]
    with pytest.raises(InvalidInputError, match=r"no 'age'; it has greetings\.text"):
        ask(Table(1), {**people("ada"), "outputs": [{"name": "age"}]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {}}, "`inputs` must be a list"),
        ({"inputs": [1]}, r"inputs\[0\] must be an object"),
        ({"inputs": []}, "'x' is missing"),
        ({"id": 7}, "`id` must be a string"),
        ({"inputs": [{"name": "x", "datatype": "FP32"}]}, "has no shape, data"),
        (
            {"inputs": [{"name": "z", "shape": [1], "datatype": "FP32", "data": [1]}, *rows([1, 2, 3, 4])["inputs"]]},
            "no 'z'; it has x",
        ),
        ({"inputs": rows([1, 2, 3, 4])["inputs"] * 2}, "stands twice"),
        (rows([1, 2, 3, 4], shape=[4], data=[1, 2, 3, 4]), r"shape \[4\]; it needs \[-1, 4\]"),
        (rows([1, 2, 3, 4], datatype="BYTES"), "holds numbers"),
    ],
)
def test_names_the_field_and_the_remedy(change, message):
    with pytest.raises(InvalidInputError, match=message):
        ask(Scale(2), {**rows([1, 2, 3, 4]), **change})


def test_columns_need_one_length_and_parameters_one_value():
    with pytest.raises(InvalidInputError, match="different lengths"):
        ask(Table(1), people("ada", **{"people.height": ("FP32", [1.5, 1.6])}))
    with pytest.raises(InvalidInputError, match=r"'people\.age' is missing"):
        ask(Table(1), {"inputs": [tensor for tensor in people("a")["inputs"] if tensor["name"] != "people.age"]})
    request = people("ada")
    request["inputs"][-1].update(shape=[2], data=[True, False])
    with pytest.raises(InvalidInputError, match=r"'shout' has shape \[2\]; it needs \[1\]"):
        ask(Table(1), request)


@pytest.mark.parametrize(("mood", "message"), [(3, r"shape \[1, 5\]; api"), (4, "NaN"), (5, "gave no 'y'")])
def test_a_wrong_result_is_the_adapters_fault(mood, message):
    with pytest.raises(OutputError, match=message):
        ask(Moody(1), rows([mood, 0, 0, 0]))


def test_metadata_lists_tensors():
    inputs, _ = Table.api()
    assert metadata(inputs) == [
        {"name": "people.name", "datatype": "BYTES", "shape": [-1]},
        {"name": "people.age", "datatype": "INT32", "shape": [-1]},
        {"name": "people.height", "datatype": "FP64", "shape": [-1]},
        {"name": "shout", "datatype": "BOOL", "shape": [1]},
        {"name": "suffix", "datatype": "BYTES", "shape": [1]},
    ]


def test_what_is_not_finite_is_refused():
    for body in (b"NaN", b"Infinity", b"1e999"):
        with pytest.raises(InvalidInputError):
            infer(
                SCALE,
                b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,%s]}]}' % body,
            )


def test_deep_nesting_is_refused():
    with pytest.raises(InvalidInputError):
        infer(SCALE, b"[" * 200_000)
    with pytest.raises(InvalidInputError):
        infer(
            SCALE,
            b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":' + b"[" * 900 + b"]" * 900 + b"}]}",
        )


def test_predict_gets_the_declared_type():
    class Typed(Scale):
        def predict(self, x):
            assert x.dtype == np.float32
            return x

    assert ask(Typed(1), rows([1, 2, 3, 4], datatype="INT64"))["outputs"][0]["data"] == [1, 2, 3, 4]


class ManyTypes(Scale):
    """Every way to take and to give a value, through run_inference."""

    @classmethod
    def api(cls):
        inputs = {
            "day": Parameter("date"),
            "words": Parameter("array<string>", default=[]),
            "bag": Object(),
            "files": FileSystem(required=False),
        }
        outputs = {
            "day": Parameter("date"),
            "words": Parameter("array<string>"),
            "bag": Object(),
            "files": FileSystem(),
        }
        return inputs, outputs

    def predict(self, **_):
        raise AssertionError

    def run_inference(self, inputs, outputs):
        outputs.day.write(inputs.day)
        outputs.words.write([*inputs.words, "end"])
        outputs.bag.write({"was": inputs.bag})
        with outputs.files.open("sub/copy.txt", "w") as made:
            if inputs.files is not None:
                with inputs.files.open("a.txt", "r") as file:
                    made.write(file.read())


del ManyTypes.predict


def one(name, text):
    return {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}


def test_what_numpy_has_no_type_for_travels_as_text():
    inputs = [
        one("day", "2026-01-31"),
        one("words", '["a","b"]'),
        one("bag", '{"k":[1,null]}'),
        one("files", '{"a.txt":"aGk="}'),
    ]
    found = {tensor["name"]: tensor["data"] for tensor in ask(ManyTypes(1), {"inputs": inputs})["outputs"]}
    assert found == {
        "day": ["2026-01-31"],
        "words": ['["a","b","end"]'],
        "bag": ['{"was":{"k":[1,null]}}'],
        "files": ['{"sub/copy.txt":"aGk="}'],
    }
    assert metadata(ManyTypes.api()[0])[2] == {"name": "bag", "datatype": "BYTES", "shape": [1]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (one("day", "31.1.2026"), "no date in ISO 8601"),
        (one("day", "2026-01-31T00:00:00Z"), "no date in ISO 8601"),
        (one("words", "a"), "not the JSON text"),
        (one("words", "[1]"), "is long, not string"),
        (one("files", '{"../a":"aGk="}'), "cannot be used"),
        (one("files", '{"/a":"aGk="}'), "cannot be used"),
        (one("files", '{"a":"aGk=","a/b":"aGk="}'), "cannot be used"),
        (one("files", '{"a":"%"}'), "no base64"),
        (one("files", '{"a":1}'), "object of base64"),
    ],
)
def test_texts_that_are_none(changed, message):
    inputs = {tensor["name"]: tensor for tensor in [one("day", "2026-01-31"), one("bag", "1"), changed]}
    with pytest.raises(InvalidInputError, match=message):
        ask(ManyTypes(1), {"inputs": list(inputs.values())})


def test_a_parameter_is_checked_and_not_cast():
    class Count(Scale):
        @classmethod
        def api(cls):
            return {"n": Parameter("integer", default=7)}, {"y": Array("integer", (-1,))}

        def predict(self, n):
            assert type(n) is int
            return [n]

    def of(datatype, value):
        return ask(Count(1), {"inputs": [{"name": "n", "shape": [1], "datatype": datatype, "data": [value]}]})

    assert of("INT64", 3)["outputs"][0]["data"] == [3]
    assert of("FP32", 3.0)["outputs"][0]["data"] == [3]
    assert ask(Count(1), {"inputs": []})["outputs"][0]["data"] == [7]
    for datatype, value in (("FP32", 3.6), ("BYTES", "3"), ("BOOL", True), ("INT64", 2**31)):
        with pytest.raises(InvalidInputError):
            of(datatype, value)
