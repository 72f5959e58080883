"""A real server process, as a client and as Kubernetes see it."""

import http.client
import json
import socket
import threading
import time
import urllib.request

import pytest
from conftest import tensor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INFER = "/v2/models/scale/infer"


def test_the_protocols_endpoints(scale):
    assert scale.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert scale.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    assert scale.ask("GET", "/v2")[1] == {
        "name": "topgraft-adapter",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data"],
    }
    for path in ("/v2/models/scale", "/v2/models/scale/versions/scale-1"):
        assert scale.ask("GET", path)[1] == {
            "name": "scale",
            "versions": ["scale-1"],
            "platform": "topgraft-adapter",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
        }
        assert scale.ask("GET", path + "/ready") == (200, {"name": "scale", "ready": True})
        status, answer = scale.ask("POST", path + "/infer", {"id": "7", "inputs": [tensor([1, 2, 3, 4])]})
        assert status == 200
        assert (answer["id"], answer["model_version"]) == ("7", "scale-1")
        assert answer["outputs"][0]["data"] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/scale/versions/scale-2/infer", 404),
        ("GET", "/v2/models/scale/versions/%ED%A0%80", 404),
        ("GET", "/nothing", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/health/ready", 405),
        ("POST", INFER, 400),
    ],
)
def test_errors_are_json(scale, method, path, status):
    answered, answer = scale.ask(method, path)
    assert answered == status
    assert list(answer) == ["error"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | st.text().map(lambda text: json.dumps({"inputs": [{"name": text}]}).encode()))
def test_no_body_breaks_it(scale, body):
    status, answer = scale.ask("POST", INFER, body)
    assert status == 400
    assert isinstance(answer["error"], str)


def test_a_large_body_is_refused_and_the_server_lives(scale):
    status, answer = scale.ask("POST", INFER, b" " * (50 * 1024 * 1024 + 1))
    assert status == 413
    assert "52428800" in answer["error"]
    assert scale.infer([1, 2, 3, 4])[0] == 200


def test_a_chunked_body_and_one_that_is_cut_off(scale):
    connection = scale.connect()
    connection.request(
        "POST", INFER, iter([b'{"inputs":', b"[]}"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().status == 400
    connection.close()
    with socket.create_connection(("127.0.0.1", scale.port)) as raw:
        raw.sendall(b"POST /v2/models/scale/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert scale.infer([1, 2, 3, 4])[0] == 200
    assert not any("exception" in line for line in scale.log())


def test_metrics_count_requests_by_status_and_their_time(scale):
    scale.infer([1, 2, 3, 4])
    scale.ask("POST", INFER, b"{")
    with urllib.request.urlopen(f"http://127.0.0.1:{scale.port}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert 'topgraft_adapter_requests_total{code="200",model="scale",version="scale-1"}' in text
    assert 'topgraft_adapter_requests_total{code="400",model="scale",version="scale-1"}' in text
    assert 'topgraft_adapter_request_seconds_bucket{le="0.0005",model="scale",version="scale-1"}' in text


def test_not_ready_before_load_has_ended(start):
    server = start("SlowLoad")
    server.wait("/v2/health/live")
    assert server.ask("GET", "/v2/health/ready") == (503, {"ready": False})
    assert server.ask("GET", "/v2/models/scale/ready") == (503, {"name": "scale", "ready": False})
    assert server.infer([1, 2, 3, 4]) == (503, {"error": "The model is not ready."})
    server.wait()
    assert server.infer([1, 2, 3, 4])[0] == 200


@pytest.mark.parametrize(
    ("adapter", "text"), [("BadLoad", "ValueError: the weights"), ("ExitingLoad", "SystemExit: giving up")]
)
def test_a_failed_load_ends_the_process_with_its_reason(start, adapter, text):
    server = start(adapter)
    assert server.ended() == 3
    error = server.result()["error"]
    assert error["reason"] == "LoadFailed"
    assert error["message"].startswith(text)
    assert len(error["message"]) <= 1000


def test_missing_artifacts_fail_as_load_failed(start, artifacts):
    (artifacts / "factor").unlink()
    server = start("Scale")
    assert server.ended() == 3
    assert server.result()["error"]["message"].startswith("FileNotFoundError: 'factor' is not among the artifacts")


def test_a_port_in_use_says_so(start, scale):
    server = start("Scale", TOPGRAFT_PORT=str(scale.port))
    assert server.ended() == 2
    assert server.result()["error"]["reason"] == "PortUnavailable"


def test_faults_of_predict_are_answered_and_logged_without_contents(start):
    server = start("Moody")
    server.wait()
    assert server.infer([1, 0, 0, 0]) == (500, {"error": "predict() raised RuntimeError: secret-of-a-request"})
    assert server.infer([2, 0, 0, 0]) == (400, {"error": "This row makes no sense."})
    for mood in (3, 4, 5):
        assert server.infer([mood, 0, 0, 0])[0] == 500
    assert server.infer([0, 0, 0, 0])[0] == 200
    assert "secret-of-a-request" not in server.log_path.read_text()
    (raised,) = [line for line in server.log() if line["message"] == "predict() raised"]
    assert raised["exception"] == "RuntimeError"
    assert any("adapters.py" in frame for frame in raised["at"])


def test_an_adapter_that_is_no_longer_ready(start):
    server = start("Fading")
    server.wait()
    assert server.infer([1, 2, 3, 4])[0] == 200
    assert server.ask("GET", "/v2/health/ready")[0] == 503
    assert server.infer([1, 2, 3, 4])[0] == 503
    assert server.ask("GET", "/v2/health/live")[0] == 200


def test_health_stays_quick_while_predictions_run(start):
    server = start("SlowPredict")
    server.wait()
    threads = [threading.Thread(target=server.infer, args=([2, 0, 0, 0],)) for _ in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert server.ask("GET", "/v2/health/ready")[0] == 200
        took.append(time.monotonic() - began)
    for thread in threads:
        thread.join()
    assert sorted(took)[-2] < 1, "the readiness probe gives up after 1 s"


def test_a_connection_is_kept_and_answers_at_once(scale):
    connection = scale.connect()
    took = []
    ports = set()
    for _ in range(30):
        began = time.monotonic()
        connection.request("POST", INFER, json.dumps({"inputs": [tensor([1, 2, 3, 4])]}))
        response = connection.getresponse()
        response.read()
        took.append(time.monotonic() - began)
        assert response.getheader("connection") is None
        ports.add(connection.sock.getsockname()[1])
    assert len(ports) == 1
    # With Nagle's algorithm nearly every one of them would take 40 ms and more.
    assert sorted(took)[5] < 0.03
    connection.close()


def test_an_old_connection_is_closed_with_its_next_answer(start):
    server = start("Scale", TOPGRAFT_MAX_CONNECTION_AGE_SECONDS="1")
    server.wait()
    connection = server.connect()
    began = time.monotonic()
    answers: list[tuple[float, str | None]] = []
    while time.monotonic() - began < 5:
        connection.request("GET", "/v2/health/live")
        response = connection.getresponse()
        response.read()
        answers.append((time.monotonic() - began, response.getheader("connection")))
        if answers[-1][1] == "close":
            break
        time.sleep(0.05)
    assert [header for _, header in answers[:-1]] == [None] * (len(answers) - 1)
    closed_after, header = answers[-1]
    assert header == "close"
    assert closed_after >= 1
    # http.client opens a new connection by itself; that one is young again.
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().getheader("connection") is None
    connection.close()


def test_an_adapter_that_died_lets_its_clients_go(start):
    """A kept-alive connection would else go on to meet the dead process while another pod could answer."""
    server = start("Fading")
    server.wait()
    connection = server.connect()
    answers = []
    for _ in range(2):
        connection.request("POST", INFER, json.dumps({"inputs": [tensor([1, 2, 3, 4])]}))
        response = connection.getresponse()
        response.read()
        answers.append((response.status, response.getheader("connection")))
    connection.close()
    assert answers == [(200, None), (503, "close")]


def test_an_idle_connection_is_left_open(start):
    server = start("Scale", TOPGRAFT_MAX_CONNECTION_AGE_SECONDS="1")
    server.wait()
    connection = server.connect()
    connection.request("GET", "/v2/health/live")
    connection.getresponse().read()
    time.sleep(5.5)
    connection.request("GET", "/v2/health/live")
    try:
        assert connection.getresponse().getheader("connection") == "close"
    except http.client.RemoteDisconnected:
        pytest.fail("an idle connection was closed by the server: a request sent at that moment is lost")
    connection.close()
