"""A server replaced again and again under load, as an upgrade or a roll replaces pods: no request may be lost."""

import http.client
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import WAIT, environment, make_artifacts

MAX_AGE = 1.0
# How late a client on a busy machine may look at its connection's age.
SLACK = 4.0
EACH = 3
BODY = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}'

# Everything is imported once; each server is a process of its own, forked in milliseconds. A line is one write:
# what two threads print comes in pieces.
NURSERY = """
import os, sys, threading
import adapters, topgraft_adapter.server
from topgraft_adapter import cli

def tell(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(1, b"ended %d\\n" % code)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.environ["TOPGRAFT_PORT"] = line.strip()
        os._exit(cli.main(["serve", "--host", "127.0.0.1"]))
    os.write(1, b"pid %d\\n" % pid)
    threading.Thread(target=tell, args=(pid,)).start()
"""


class Nursery:
    def __init__(self, directory):
        self.log = directory / "log"
        given = environment(
            "adapters:Scale",
            make_artifacts(directory),
            TOPGRAFT_MAX_CONNECTION_AGE_SECONDS=str(MAX_AGE),
            TOPGRAFT_DRAIN_SECONDS="1",
            OPENBLAS_NUM_THREADS="1",
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            env=given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
        )
        self.codes = []
        self._pids = []
        self._told = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            kind, number = line.split()
            with self._told:
                (self._pids if kind == "pid" else self.codes).append(int(number))
                self._told.notify_all()

    def start(self):
        """Port and process id of a server that is ready."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()
        with self._told:
            assert self._told.wait_for(lambda: self._pids, WAIT)
            pid = self._pids.pop(0)
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/v2/health/ready", headers={"Connection": "close"})
                if connection.getresponse().status == 200:
                    return port, pid
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.01)
        raise AssertionError(self.log.read_text()[-2000:])

    def wait_ended(self, count):
        with self._told:
            return self._told.wait_for(lambda: len(self.codes) >= count, 60)


class Client(threading.Thread):
    """Asks without a pause; new connections go where the Service points now, kept ones stay until they are closed."""

    def __init__(self, service, keep):
        super().__init__()
        self.service = service
        self.keep = keep
        self.over = threading.Event()
        self.answered = 0
        self.lost = []
        self.oldest = 0.0

    def run(self):
        connection = None
        while not self.over.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.service["port"], timeout=20)
                born = time.monotonic()
            try:
                connection.request("POST", "/v2/models/scale/infer", BODY)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection = None
                continue
            if response.status == 200:
                self.answered += 1
            else:
                self.lost.append(response.status)
            if not self.keep or response.getheader("connection") == "close":
                connection.close()
                connection = None
            else:
                self.oldest = max(self.oldest, time.monotonic() - born)


@pytest.mark.parametrize(
    "times", [50, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(3600)])], ids=["50", "1000"]
)
def test_no_request_is_lost(tmp_path, times):
    nursery = Nursery(tmp_path)
    port, pid = nursery.start()
    service = {"port": port}
    clients = [Client(service, keep=number != 0) for number in range(EACH)]
    try:
        for client in clients:
            client.start()
        for done in range(times):
            port, new = nursery.start()
            service["port"] = port
            subprocess.run(["kill", "-TERM", str(pid)], check=True)
            pid = new
            # Not more than a few drain at a time: on one processor they would starve what serves.
            assert nursery.wait_ended(done - 3)
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            if client.ident:
                client.join(WAIT)
        subprocess.run(["kill", "-TERM", str(pid)], check=False)
        ended = nursery.wait_ended(times + 1)
        nursery.process.kill()
    assert [lost for client in clients for lost in client.lost] == []
    assert sum(client.answered for client in clients) > times
    assert max(client.oldest for client in clients) < MAX_AGE + SLACK
    assert ended
    assert nursery.codes == [0] * (times + 1)
