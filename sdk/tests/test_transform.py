"""/transformJson: values by name, and errors in their envelope."""

import contextlib
import json
import uuid

import numpy as np
import orjson
import pytest
from adapters import Scale, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from topgraft_adapter import Column, Parameter, Tabular
from topgraft_adapter.errors import InvalidInputError
from topgraft_adapter.inference import Target
from topgraft_adapter.transform import invalid_input, transform


def ask(adapter, values, **more):
    target = Target(adapter, adapter.api(), "m", "m-1")
    return json.loads(transform(target, orjson.dumps({"input": values, **more})).body)


def refused(adapter, values):
    with pytest.raises(InvalidInputError) as raised:
        ask(adapter, values)
    said = invalid_input(raised.value)
    assert said["errorCode"] == "INVALID_ARGUMENT"
    assert said["errorName"] == "InferenceInvalidInput"
    uuid.UUID(said["errorInstanceId"])
    return said["parameters"]["errorType"]


PERSON = {"name": "ada", "age": 30.9}


def test_values_by_name():
    answer = ask(Table(1), {"people": [PERSON, {"name": "bob", "age": 3, "extra": [1]}], "shout": True}, id="7")
    assert answer == {
        "id": "7",
        "output": {"greetings": [{"text": "ADA", "age": 30}, {"text": "BOB", "age": 3}], "count": 2},
    }
    assert ask(Scale(2), {"x": [[1, 2, 3, 4]]}) == {"output": {"y": [[2.0, 4.0, 6.0, 8.0]]}}
    assert ask(Scale(2), {"x": []}) == {"output": {"y": []}}
    assert ask(Table(1), {"people": [], "shout": False})["output"] == {"greetings": [], "count": 0}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], {"type": "invalidMapFormat"}),
        ({}, {"type": "requiredValueMissing", "fieldName": "x"}),
        ({"x": None}, {"type": "requiredValueMissing", "fieldName": "x"}),
        ({"x": [[1, 2, 3, 4]], "z": 1}, {"type": "unknownInputName", "inputName": "z"}),
        ({"x": "a"}, {"type": "typeMismatch", "expectedType": "array<float>", "actualType": "string"}),
        ({"x": [["a", 2, 3, 4]]}, {"type": "typeMismatch", "expectedType": "float", "actualType": "string"}),
        ({"x": [[1, 2, 3]]}, {"type": "invalidArrayShape", "expectedShape": [-1, 4], "actualShape": [1, 3]}),
        ({"x": [1, 2]}, {"type": "invalidArrayShape", "expectedShape": [-1, 4], "actualShape": [2]}),
        ({"x": [[1, 2, 3, 4], [1]]}, {"type": "inconsistentArrayDimensions"}),
        ({"x": [1, [1]]}, {"type": "inconsistentArrayDimensions"}),
        ({"x": [[1, 2, 3, 1e39]]}, {"type": "unsupportedType"}),
    ],
)
def test_error_types_of_an_array(values, kind):
    assert refused(Scale(2), values) == kind


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"people": {}}, {"type": "invalidTabularFormat", "inputFieldName": "people"}),
        ({"people": [1]}, {"type": "invalidTabularFormat", "inputFieldName": "people"}),
        ({"people": [{"name": "a"}]}, {"type": "requiredValueMissing", "fieldName": "people.age"}),
        ({"people": [PERSON, {"name": "a", "age": None}]}, {"type": "requiredValueMissing", "fieldName": "people.age"}),
        (
            {"people": [{"name": "a", "age": "3"}]},
            {"type": "typeMismatch", "expectedType": "integer", "actualType": "string"},
        ),
        ({"shout": 1}, {"type": "typeMismatch", "expectedType": "boolean", "actualType": "long"}),
        ({"suffix": 1}, {"type": "typeMismatch", "expectedType": "string", "actualType": "long"}),
    ],
)
def test_error_types_of_tables_and_parameters(change, kind):
    assert refused(Table(1), {"people": [PERSON], "shout": False, **change}) == kind


class Holes(Scale):
    @classmethod
    def api(cls):
        columns = (
            Column("a", "double", required=False),
            Column("b", "string", required=False),
            Column("when", "timestamp"),
            Column("m", "map<string,long>", required=False),
        )
        return {"t": Tabular(columns)}, {"t": Tabular(columns), "n": Parameter("long")}

    def predict(self, t):
        assert all(moment.tzinfo for moment in t["when"])
        seen = {"when": t["when"], "n": 0}
        if "a" in t:
            seen["a"] = np.nan_to_num(t["a"], nan=-1)
        if "m" in t:
            seen["m"] = t["m"]
        return {"t": seen, "n": len(t)}


def test_holes_in_columns_that_are_not_required():
    rows = [{"a": 1, "when": "2026-01-31T00:00:00Z"}, {"a": None, "when": "2026-01-31T00:00:00+01:00"}]
    assert ask(Holes(1), {"t": rows})["output"] == {
        "t": [
            {"a": 1.0, "when": "2026-01-31T00:00:00+00:00"},
            {"a": -1.0, "when": "2026-01-31T00:00:00+01:00"},
        ],
        "n": 2,
    }
    assert refused(Holes(1), {"t": [{**rows[0], "m": {"a": "b"}}]})["type"] == "typeMismatch"
    assert refused(Holes(1), {"t": [{**rows[0], "m": []}]})["type"] == "typeMismatch"


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["x", "people", "shout", "name", "age", "suffix"]), inner, max_size=4)
        ),
        max_leaves=15,
    )
)
def test_any_values_are_answered_or_refused(values):
    for adapter in (Scale(2), Table(1)):
        with contextlib.suppress(InvalidInputError):
            ask(adapter, values)


def test_a_server_answers_in_the_envelope(start):
    server = start("Moody")
    server.wait()
    for path in ("/transformJson", "/liveDeployments/scale/transformJson"):
        assert server.ask("POST", path, {"input": {"x": [[0, 1, 2, 3]]}})[1] == {
            "output": {"y": [[0.0, 1.0, 2.0, 3.0]]}
        }
    code, said = server.ask("POST", "/transformJson", {"input": {"x": [[1, 0, 0, 0]]}})
    assert (code, said["errorName"]) == (400, "InferenceFailure")
    assert said["parameters"] == {"errorMessage": "predict() raised RuntimeError: secret-of-a-request"}
    code, said = server.ask("POST", "/transformJson", {"input": {"x": [[3, 0, 0, 0]]}})
    assert (code, said["errorName"]) == (400, "InferenceFailure")
    code, said = server.ask("POST", "/liveDeployments/other/transformJson", {"input": {}})
    assert (code, said["errorName"], said["errorCode"]) == (404, "LiveDeploymentNotFound", "NOT_FOUND")
    code, said = server.ask("POST", "/transformJson", b" " * (50 * 1024 * 1024 + 1))
    assert (code, said["errorName"]) == (413, "RequestEntityTooLarge")
    # The model's failures count as such in the figures that a rollback is decided on, whatever the code on the wire.
    figures = server.text("/metrics")
    assert 'topgraft_adapter_requests_total{code="500",model="scale",version="scale-1"} 2.0' in figures


def test_the_time_limit(start):
    server = start("SlowPredict", TOPGRAFT_REQUEST_TIMEOUT_SECONDS="0.5", TOPGRAFT_THREADS="1")
    server.wait()
    code, said = server.ask("POST", "/transformJson", {"input": {"x": [[3, 0, 0, 0]]}})
    assert (code, said["errorName"]) == (500, "InferenceTimeout")
    # Its one thread is held by the call that was given up: this pod can answer nothing until it returns.
    assert server.ask("GET", "/v2/health/ready")[0] == 503
    assert server.ask("GET", "/v2/health/live")[0] == 200
    server.wait()
    code, said = server.infer([2, 0, 0, 0])
    assert (code, said) == (504, {"error": "predict() did not answer within 0.5 seconds."})
