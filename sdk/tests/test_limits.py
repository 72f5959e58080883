"""Binary tensors, and what the server takes at once."""

import json
import socket
import threading
import time

import numpy as np
import pytest
from conftest import tensor
from hypothesis import given
from hypothesis import strategies as st

from topgraft_adapter import tensors

INFER = "/v2/models/scale/infer"


def binary(rows, **head):
    raw = np.asarray(rows, "<f4").tobytes()
    described = {"name": "x", "shape": [len(rows), 4], "datatype": "FP32"}
    request = {"inputs": [{**described, "parameters": {"binary_data_size": len(raw)}, **head}]}
    return request, raw


def post(server, request, raw, **headers):
    text = json.dumps(request).encode()
    connection = server.connect()
    named = {"Inference-Header-Content-Length": str(len(text)), **headers}
    connection.request("POST", INFER, text + raw, named)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_raw_tensors_in_and_out(scale):
    request, raw = binary([[1, 2, 3, 4]])
    response, body = post(scale, {**request, "parameters": {"binary_data_output": True}}, raw)
    assert response.status == 200
    length = int(response.getheader("Inference-Header-Content-Length"))
    (output,) = json.loads(body[:length])["outputs"]
    assert output == {"name": "y", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    assert np.frombuffer(body[length:], "<f4").tolist() == [2, 4, 6, 8]
    response, body = post(scale, request, raw)
    assert json.loads(body)["outputs"][0]["data"] == [2, 4, 6, 8]
    wanted = [{"name": "y", "parameters": {"binary_data": True}}]
    assert post(scale, {**request, "outputs": wanted}, raw)[0].getheader("Inference-Header-Content-Length")


@pytest.mark.parametrize(
    ("head", "raw", "headers"),
    [
        ({}, b"\0" * 15, {}),
        ({}, b"\0" * 17, {}),
        ({"parameters": {"binary_data_size": -1}}, b"\0" * 16, {}),
        ({"parameters": {"binary_data_size": 1.5}}, b"\0" * 16, {}),
        ({"parameters": {"binary_data_size": 16}, "data": [1]}, b"\0" * 16, {}),
        ({"shape": [2, 4]}, b"\0" * 16, {}),
        ({"datatype": "BF16"}, b"\0" * 16, {}),
        ({}, b"\0\0\xc0\x7f" * 4, {}),
        ({}, b"\0" * 16, {"Inference-Header-Content-Length": "99999"}),
        ({}, b"\0" * 16, {"Inference-Header-Content-Length": "-1"}),
        ({}, b"\0" * 16, {"Inference-Header-Content-Length": "0"}),
    ],
)
def test_raw_tensors_that_do_not_fit(scale, head, raw, headers):
    request, _ = binary([[1, 2, 3, 4]], **head)
    response, body = post(scale, request, raw, **headers)
    assert response.status == 400
    assert list(json.loads(body)) == ["error"]


@given(
    st.sampled_from(["BYTES", "BOOL", "INT8", "UINT64", "FP16", "FP64", 7]), st.lists(st.integers(-1, 5)), st.binary()
)
def test_no_bytes_break_the_reader(datatype, shape, content):
    try:
        made = tensors.parse_binary(datatype, shape, content)
    except ValueError:
        return
    assert list(made.shape) == shape


@given(st.lists(st.text()))
def test_texts_come_back(texts):
    raw = tensors.to_binary(tensors.objects(texts))
    assert tensors.parse_binary("BYTES", [len(texts)], raw).tolist() == texts


def test_one_request_too_many_is_sent_away(start):
    server = start("SlowPredict", TOPGRAFT_MAX_CONCURRENCY="2")
    server.wait()
    running = [threading.Thread(target=server.infer, args=([1.5, 0, 0, 0],)) for _ in range(2)]
    for thread in running:
        thread.start()
    time.sleep(0.7)
    connection = server.connect()
    connection.request("POST", INFER, json.dumps({"inputs": [tensor([0, 0, 0, 0])]}))
    response = connection.getresponse()
    assert response.status == 503
    assert response.getheader("retry-after") == "1"
    assert response.getheader("connection") == "close"
    assert "2 requests" in json.loads(response.read())["error"]
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    for thread in running:
        thread.join()
    assert server.infer([0, 0, 0, 0])[0] == 200


def test_bodies_together_have_a_limit(start):
    """Five clients that stop in the middle of 49 MiB: the fifth is sent away, and a place comes back when one goes."""
    server = start("Scale")
    server.wait()
    part = b" " * (49 * 1024 * 1024)
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(part) + 100}\r\n\r\n".encode()
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    for one in held:
        one.sendall(head + part)
    end = time.monotonic() + 20
    while (code := server.ask("POST", INFER, part)[0]) != 503 and time.monotonic() < end:
        time.sleep(0.1)
    assert code == 503
    assert server.infer([1, 2, 3, 4])[0] == 200
    for one in held:
        one.close()
    time.sleep(0.5)
    assert server.ask("POST", INFER, part)[0] == 400


def test_compressed_bodies_are_not_taken(scale):
    connection = scale.connect()
    connection.request("POST", INFER, b"x", {"Content-Encoding": "gzip"})
    assert connection.getresponse().status == 415
