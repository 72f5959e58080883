"""Whatever a client sends: the server answers in the protocol's form, below 500, and lives on."""

import http.client
import json
import time

import pytest
from conftest import Server, make_artifacts
from hypothesis import given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
DATATYPE = st.sampled_from(["BOOL", "BYTES", "INT8", "INT64", "UINT64", "FP16", "FP32", "FP64", "BF16", "", "fp32"])
NAME = st.sampled_from(["people.name", "people.age", "people.height", "people.more", "shout", "suffix", "x", ""])
TENSOR = st.fixed_dictionaries(
    {"name": NAME | JSON},
    optional={
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
        "datatype": DATATYPE | JSON,
        "data": st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.booleans()), max_size=4) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 40) | JSON}) | JSON,
    },
)
INFER = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=4) | JSON},
    optional={
        "id": st.text(max_size=5) | JSON,
        "outputs": st.lists(TENSOR, max_size=2) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": st.booleans() | JSON}) | JSON,
    },
)
ROW = st.dictionaries(st.sampled_from(["name", "age", "height", "more"]), JSON, max_size=4)
VALUES = st.fixed_dictionaries(
    {},
    optional={"people": st.lists(ROW, max_size=3) | JSON, "shout": st.booleans() | JSON, "suffix": JSON, "x": JSON},
)
TRANSFORM = st.fixed_dictionaries({"input": VALUES | JSON}, optional={"id": JSON})
FEEDBACK = st.dictionaries(st.sampled_from(["id", "label", "answer", "version"]), JSON, max_size=4)
REQUEST = st.one_of(
    st.tuples(st.sampled_from(["/v2/models/scale/infer", "/v2/models/scale/versions/scale-1/infer"]), INFER),
    st.tuples(st.just("/transformJson"), TRANSFORM),
    st.tuples(st.just("/feedback"), FEEDBACK),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Inference-Header-Content-Length", "Content-Type", "Content-Encoding", "Accept", "Expect"]),
    st.text("0123456789-+.eEx agzip/json", max_size=12),
    max_size=2,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    server = Server("adapters:Table", make_artifacts(tmp_path_factory.mktemp("fuzz")))
    server.wait()
    yield server
    server.process.kill()
    server.process.wait(20)


def written(value):
    return json.dumps(value, default=str).encode(errors="surrogatepass")


@settings(max_examples=400, deadline=None)
@given(REQUEST, st.binary(max_size=40), HEADERS, st.booleans())
def test_no_request_breaks_the_server(table, request_, raw, headers, split):
    path, value = request_
    head = written(value)
    if split:
        headers = {**headers, "Inference-Header-Content-Length": str(len(head))}
    headers = {name: text.strip() for name, text in headers.items() if name != "Expect"}
    connection = http.client.HTTPConnection("127.0.0.1", table.port, timeout=20)
    began = time.monotonic()
    try:
        connection.request("POST", path, head + (raw if split else b""), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status < 500, body
    assert time.monotonic() - began < 10
    if response.status != 200:
        said = json.loads(body)
        assert set(said) in ({"error"}, {"errorCode", "errorName", "errorInstanceId", "parameters"})
    assert table.process.poll() is None


def test_it_answers_as_before(table):
    assert table.ask("GET", "/v2/health/ready")[0] == 200
    sample = {"input": {"people": [{"name": "a", "age": 1}], "shout": True}}
    assert table.ask("POST", "/transformJson", sample)[1]["output"]["count"] == 1
