"""The routes and their limits of time, in this process."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from topgraft_adapter import app as app_module
from topgraft_adapter import service as service_module
from topgraft_adapter.deadlines import Deadlines
from topgraft_adapter.errors import InferenceTimeoutError
from topgraft_adapter.feedback import MAX_FEEDBACK_BYTES
from topgraft_adapter.inference import Answer
from topgraft_adapter.server import OnePiece
from topgraft_adapter.service import ModelService
from topgraft_adapter.settings import Settings
from topgraft_adapter.web import App, HttpError, Request, Response, route
from topgraft_adapter.workers import Workers


async def ask(app, method, path, pieces=(b"",), headers=()):
    """Status, headers and body; a body that has no more pieces never goes on."""
    left = list(pieces)
    sent = []

    async def receive():
        if not left:
            await asyncio.Event().wait()
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or body == b"part"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "state": {}}
    await app(scope, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def a_service(**more):
    given = {"artifact_dir": None, "model": "m", "version": "m-1", "port": 1, "max_connection_age": 5, "drain": 2}
    return ModelService(SimpleNamespace(api=({}, {})), Settings(**given, **more))


def answer(text):
    async def endpoint(request: Request) -> Response:
        return Response(f"{text} {sorted(request.names.items())}".encode())

    return endpoint


async def broken(_request):
    raise KeyError("what a client sent")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/things", 200, b"list []"),
        ("HEAD", "/things/", 200, b"list []"),
        ("GET", "/things/a b", 200, b"one [('name', 'a b'), ('version', None)]"),
        ("GET", "/things/a/versions/2", 200, b"one [('name', 'a'), ('version', '2')]"),
        ("POST", "/things", 200, b"new []"),
        ("PUT", "/things", 405, b"Method Not Allowed"),
        ("GET", "/things/a/b", 404, b"Not Found"),
        ("GET", "/thingsx", 404, b"Not Found"),
        ("GET", "/things//versions/2", 404, b"Not Found"),
        ("GET", "/broken", 500, b"Internal Server Error"),
    ],
)
def test_routes(method, path, status, body):
    routes = [
        route("/things", answer("list")),
        route("/things", answer("new"), "POST"),
        route("/things/{name}[/versions/{version}]", answer("one")),
        route("/broken", broken),
    ]
    refused = lambda error: Response(str(error).encode(), error.code, headers=error.headers)  # noqa: E731
    made = App(routes, refused, lambda _scope, code: code == 500)
    got, headers, text = asyncio.run(ask(made, method, path))
    assert (got, text) == (status, body)
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers.get(b"allow") == (b"GET, HEAD, POST" if status == 405 else None)
    assert (b"connection" in headers) == (status == 500)


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(app_module, "_BODY_SECONDS", 0.05)
    service = a_service()
    made = app_module.make_app(service)
    for path in ("/v2/models/m/infer", "/feedback"):
        status, _, body = asyncio.run(ask(made, "POST", path, [b"part"]))
        assert (status, body) == (408, b'{"error":"The body did not come within 0.05 seconds."}')
    assert b'code="408",model="m",version="m-1"} 1.0' in service.metrics.text()


@pytest.mark.parametrize("length", ["0" * 19 + "5" + "0" * 4400, "9" * 4400, "6", "0", "x", "5.0"])
def test_a_length_of_the_header_that_is_none_is_refused(length):
    headers = [(b"inference-header-content-length", length.encode())]
    made = app_module.make_app(a_service())
    status, _, body = asyncio.run(ask(made, "POST", "/v2/models/m/infer", [b"{}   "], headers))
    assert status == 400
    assert b"must be the length of the JSON" in body


def test_feedback_has_its_own_limit_and_is_admitted():
    service = a_service(max_concurrency=1)
    made = app_module.make_app(service)
    large = b"x" * MAX_FEEDBACK_BYTES
    status, _, body = asyncio.run(ask(made, "POST", "/feedback", [large, b"x", b"y"]))
    assert status == 413
    assert b"larger than 1048576 bytes" in body
    with service.admitted():
        status, headers, _ = asyncio.run(ask(made, "POST", "/feedback", [b"{}"]))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert asyncio.run(ask(made, "POST", "/feedback", [b"{}"]))[0] == 400


def test_what_feedback_sends_counts_among_the_bodies(monkeypatch):
    monkeypatch.setattr(service_module, "MAX_BUFFERED_BYTES", 10)
    made = app_module.make_app(a_service())
    assert asyncio.run(ask(made, "POST", "/feedback", [b"x" * 11]))[0] == 503


def test_a_cancelled_request_is_no_late_body():
    service = a_service()

    async def cancelled():
        task = asyncio.create_task(ask(app_module.make_app(service), "POST", "/v2/models/m/infer", [b"part"]))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_one_timer_serves_many_deadlines():
    late = []

    async def watch():
        deadlines = Deadlines(0.1, late.append)
        for name in ("a", "b", "c", "d"):
            deadlines.begin(name)
            await asyncio.sleep(0.03)
        assert deadlines.done("b")
        await asyncio.sleep(0.3)
        assert not deadlines.done("a")
        assert late == ["a", "c", "d"]
        deadlines.begin("e")
        await asyncio.sleep(0.2)

    asyncio.run(watch())
    assert late == ["a", "c", "d", "e"]


def test_calls_run_at_once_up_to_the_most_and_in_order():
    gate = threading.Event()

    async def run():
        workers = Workers(2, 60)
        tasks = [asyncio.create_task(workers.run(lambda place=place: held(place))) for place in range(5)]
        await asyncio.sleep(0.2)
        assert sorted(begun) == [0, 1]
        assert len(workers.running) == 5
        gate.set()
        assert [made.id for made in await asyncio.gather(*tasks)] == ["0", "1", "2", "3", "4"]
        assert not workers.running
        assert sum(thread.name == "predict" and thread.is_alive() for thread in threading.enumerate()) - before == 2

    begun: list[int] = []

    def held(place):
        begun.append(place)
        gate.wait(10)
        return Answer(b"", str(place), [])

    before = sum(thread.name == "predict" for thread in threading.enumerate())
    asyncio.run(run())


def test_a_call_that_takes_too_long_holds_its_thread_and_one_that_has_not_begun_is_left_out():
    gate = threading.Event()
    begun: list[str] = []

    def hang(name):
        begun.append(name)
        gate.wait(10)
        return Answer(b"", "", [])

    async def run():
        workers = Workers(1, 0.1)
        tasks = [asyncio.create_task(workers.run(lambda name=name: hang(name))) for name in ("first", "second")]
        for task in tasks:
            with pytest.raises(InferenceTimeoutError, match=r"within 0\.1 seconds"):
                await task
        assert len(workers.given_up) == 1
        gate.set()
        while workers.running:  # noqa: ASYNC110 - it is a set
            await asyncio.sleep(0.01)
        assert not workers.given_up

    asyncio.run(run())
    assert begun == ["first"]


@pytest.mark.parametrize("raised", [StopIteration("odd"), TimeoutError("its own"), SystemExit(3)])
def test_whatever_a_call_raises_comes_back(raised):
    def call():
        raise raised

    async def run():
        workers = Workers(1, 60)
        try:
            await workers.run(call)
        except BaseException as error:
            assert (await workers.run(lambda: Answer(b"", "next", []))).id == "next"
            return error

    error = asyncio.run(run())
    assert error is raised or str(error) == "StopIteration: odd"


def test_a_head_leaves_with_its_body():
    written = []
    transport = OnePiece(SimpleNamespace(write=written.append, close=lambda: written.append("closed"), other=7))
    head, large = b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 70_000
    for data in (b"HTTP/1.1 100 Continue\r\n\r\n", head, b"HTTP/1.1 is the body", b"", head, large):
        transport.write(data)
    transport.write(head)
    transport.close()
    expected = [b"HTTP/1.1 100 Continue\r\n\r\n", head + b"HTTP/1.1 is the body", b"", head, large, head, "closed"]
    assert written == expected
    assert transport.other == 7


def test_an_error_without_a_text_says_its_name():
    assert str(HttpError(404)) == "Not Found"
