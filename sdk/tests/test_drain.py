"""SIGTERM: what a pod does when it is replaced."""

import http.client
import json
import signal
import threading
import time

import pytest
from conftest import WAIT, Server, tensor

# How long after SIGTERM the cluster still sends new connections to the pod: mostly little more than 1 s (kube-proxy's
# minSyncPeriod), on a machine that is overloaded much more.
STILL_SENDING = 4
EACH = 8


class Client(threading.Thread):
    """Asks without a pause, either on one connection as long as the server keeps it or on a new one each time."""

    def __init__(self, server: Server, keep: bool) -> None:
        super().__init__()
        self.server = server
        self.keep = keep
        self.told_to_stop = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self.kept_after_drain = 0

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        body = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}'
        while not self.told_to_stop.is_set():
            connection = connection or self.server.connect()
            try:
                connection.request("POST", "/v2/models/scale/infer", body)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
                continue
            self.answered += response.status == 200
            if response.status != 200:
                self.failures.append(str(response.status))
            if not self.keep or response.getheader("connection") == "close":
                connection.close()
                connection = None


def test_nothing_is_lost_under_load(start):
    server = start("Scale")
    server.wait()
    clients = [Client(server, keep=number % 2 == 0) for number in range(EACH)]
    for client in clients:
        client.start()
    time.sleep(1)
    server.terminate()
    time.sleep(0.3)
    assert server.ask("GET", "/v2/health/ready")[0] == 503
    assert server.ask("GET", "/v2/health/live")[0] == 200
    time.sleep(STILL_SENDING - 0.3)
    last_sent = time.monotonic()
    for client in clients:
        client.told_to_stop.set()
    for client in clients:
        client.join(WAIT)
    assert server.ended() == 0
    took = time.monotonic() - last_sent
    answered = sum(client.answered for client in clients)
    assert [failure for client in clients for failure in client.failures] == []
    assert answered > 100
    assert took < 10


def test_a_client_that_never_stops_does_not_hold_the_process(start):
    program = """
import sys
from topgraft_adapter import cli, server
server.MAX_DRAIN_SECONDS = 3
sys.exit(cli.main(["serve", "--host", "127.0.0.1"]))
"""
    server = start("Scale", program=program)
    server.wait()
    client = Client(server, keep=False)
    client.start()
    began = time.monotonic()
    server.terminate()
    assert server.ended() == 0
    client.told_to_stop.set()
    client.join(WAIT)
    assert 3 <= time.monotonic() - began < 8


def test_every_answer_of_a_draining_server_closes_its_connection(start):
    server = start("Scale")
    server.wait()
    connection = server.connect()
    connection.request("GET", "/v2/health/live")
    connection.getresponse().read()
    server.terminate()
    time.sleep(0.3)
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().getheader("connection") == "close"


def test_a_running_request_is_finished(start):
    server = start("SlowPredict")
    server.wait()
    got: list[int] = []
    asking = threading.Thread(target=lambda: got.append(server.infer([4, 0, 0, 0])[0]))
    asking.start()
    time.sleep(0.5)
    server.terminate()
    assert server.ended() == 0
    asking.join(WAIT)
    assert got == [200]


def test_a_connection_that_speaks_up_after_the_drain_is_answered(start):
    server = start("Scale", TOPGRAFT_DRAIN_SECONDS="1")
    server.wait()
    connection = server.connect()
    connection.connect()
    server.terminate()
    # Past the drain, when the server no longer listens.
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            server.connect(1).connect()
        except ConnectionRefusedError:
            break
        time.sleep(0.01)
    connection.request("GET", "/v2/health/live")
    response = connection.getresponse()
    assert (response.status, response.getheader("connection")) == (200, "close")


def test_a_second_signal_ends_the_drain(start):
    server = start("Scale", TOPGRAFT_DRAIN_SECONDS="10")
    server.wait()
    server.terminate()
    time.sleep(0.5)
    assert server.process.poll() is None
    server.terminate()
    assert server.ended() == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_still_loading_ends_at_once(start, sign):
    server = start("SlowLoad", TOPGRAFT_DRAIN_SECONDS="10")
    server.wait("/v2/health/live")
    began = time.monotonic()
    server.process.send_signal(sign)
    assert server.ended() == 0
    assert time.monotonic() - began < 3


def test_a_predict_that_hangs_does_not_hold_the_process(start):
    program = """
import sys
from topgraft_adapter import cli, server
server._END_SECONDS = 1
sys.exit(cli.main(["serve", "--host", "127.0.0.1"]))
"""
    server = start("SlowPredict", program=program, TOPGRAFT_DRAIN_SECONDS="0")
    server.wait()
    connection = server.connect()
    connection.request("POST", "/v2/models/scale/infer", json.dumps({"inputs": [tensor([60, 0, 0, 0])]}))
    time.sleep(0.5)
    began = time.monotonic()
    server.terminate()
    assert server.ended() == 1
    assert time.monotonic() - began < 5
    assert any(line["message"] == "predict() did not return in time" for line in server.log())
