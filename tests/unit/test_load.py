"""The load client: every request is recorded for what it was."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from load import Answer, Answers, Load


class Model(BaseHTTPRequestHandler):
    """Answers as an adapter does; every fifth request with 503."""

    protocol_version = "HTTP/1.1"
    requests = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Model.requests += 1
        outputs = [{"name": "other", "data": [1]}, {"name": "digit", "data": [8]}]
        body = json.dumps({"model_version": "digits-1", "outputs": outputs}).encode()
        self.send_response(503 if Model.requests % 5 == 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v2/models/digits/infer"
    server.shutdown()
    server.server_close()


@pytest.fixture
def body(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_text("{}")
    return file


def test_every_answer_is_recorded(url: str, body: Path):
    with Load.from_here(url, body, "digit", clients=4, rate=200) as load:
        load.wait(lambda answers: len(answers) >= 100, 30, "100 answers")
        answers = load.stop()
    good = answers.of("digits-1")
    assert {answer.value for answer in good} == {"8"}
    assert {answer.kept for answer in good} == {True, False}
    assert len(good) + len(answers.failures) == len(answers)
    assert {answer.status for answer in answers.failures} == {503}
    assert answers.versions() == {"digits-1": len(good)}


def test_nobody_there_is_a_failure_with_its_cause(body: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with Load.from_here(url, body, clients=2, rate=50) as load:
            load.wait(lambda answers: len(answers) >= 4, 30, "4 failures")
            answers = load.stop()
    assert len(answers.failures) == len(answers)
    assert set(answers.errors()) == {"Connection refused (new)", "Connection refused (kept-alive)"}


def test_a_wait_ends_with_what_came_so_far(url: str, body: Path):
    with (
        Load.from_here(url, body, clients=1, rate=20) as load,
        pytest.raises(TimeoutError, match=r"no miracle within 0.5 s.*answers and failures so far"),
    ):
        load.wait(lambda answers: False, 0.5, "miracle")


def test_answers_are_counted_by_version_time_and_percentile():
    times = [Answer(float(at), at / 100, at % 2 == 0, 200, f"v{1 + at // 50}", "", "") for at in range(100)]
    answers = Answers([*times, Answer(100.0, 5.0, False, 0, "", "", "no answer")])
    assert answers.percentile(50) == 0.5
    assert answers.versions() == {"v1": 50, "v2": 50}
    assert next(answer.at for answer in answers.of("v2")) == 50
    assert len(answers.between(90)) == 11
    assert [Answer.parse(answer.line()) for answer in answers] == answers
