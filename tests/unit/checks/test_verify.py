"""Verification from its configuration to its report, against adapters that behave and adapters that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapters import Handler, Raw, adapters, digit, raw, read_request, reads, says
from aiohttp import web
from topgraft.checks import config, latency, replay, verify
from topgraft.checks.failure import CheckError
from topgraft.checks.report import Report

COUNT = 120


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times mean nothing here, where both versions run in the test's own loop."""
    monkeypatch.setattr(replay, "MAX_REPEAT_SECONDS", 0.5)
    monkeypatch.setattr(replay, "WARM_UP_REQUESTS", 2)
    monkeypatch.setattr(latency, "MIN_REPEATED", 100)


@pytest.fixture
def golden(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(count: int = COUNT, labelled: bool = False, **more: Any) -> dict[str, Any]:
        path = tmp_path / "requests.jsonl"
        lines = [{"id": f"r{n}", "body": {"n": n % 10}} | ({"label": n % 10} if labelled else {}) for n in range(count)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return {"file": str(path), "timeoutSeconds": 2} | more

    return make


async def run(
    candidate: str | list[str],
    serving: str | list[str] | None = None,
    limits: dict[str, Any] | None = None,
    deadline: float = 60,
    **more: Any,
) -> Report:
    """Verify; the latency limit is out of the way unless a test gives one."""
    addresses = [candidate] if isinstance(candidate, str) else candidate
    old = [serving] if isinstance(serving, str) else serving
    settings = {
        "candidate": {"url": "http://m-candidate.ns:8080", "addresses": addresses},
        "serving": {"addresses": old} if old else None,
        "model": "m",
        "limits": {"latencyIncreasePercent": 100_000} | (limits or {}),
        "deadlineSeconds": deadline,
    }
    read = config.read(json.dumps(settings | more))
    report = Report("verification of m", read.secrets())
    try:
        await verify.verify(read, report)
    except CheckError as error:
        report.error = error
    assert len(report.summary().encode()) <= 4096
    assert json.loads(report.summary())["checks"] is not None
    return report


def verdicts(report: Report) -> dict[str, str]:
    judged = [check for check in report.checks if not check.message.endswith("not judged")]
    return {check.name: check.verdict for check in judged}


def message(report: Report, name: str) -> str:
    return next(check.message for check in report.checks if check.name == name)


async def test_the_same_code_passes_everything(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(reads(), reads(version="m-2")) as (old, new):
        report = await run(new, old, golden=golden(labelled=True))
    assert report.status() == 0
    assert verdicts(report) == {
        "golden/errors": "Passed",
        "golden/output": "Passed",
        "golden/accuracy": "Passed",
        "golden/kl": "Passed",
        "golden/latency-p95": "Passed",
    }
    assert "120 golden requests from" in report.text()
    assert "verification of m: no check failed" in report.text()


async def test_one_answer_in_many_that_differs_is_named(golden: Callable[..., dict[str, Any]]) -> None:
    requests = golden()
    replace_line(Path(requests["file"]), 77, json.dumps({"id": "the-one", "body": {"n": 3, "odd": True}}))

    async def odd(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return web.json_response(digit(8 if "odd" in body else body["n"], "m-2"))

    async with adapters(reads(), odd) as (old, new):
        report = await run(new, old, golden=requests)
        allowed = await run(new, old, golden=requests | {"mayChange": ["the-one"]})
        most = await run(new, old, golden=requests | {"minAgreementPercent": 99})
    assert report.status() == 3
    assert verdicts(report)["golden/output"] == "Failed"
    assert message(report, "golden/output") == "1 of 120 answers differ; the-one: digit[0]: 3 → 8"
    assert json.loads(report.summary())["checks"][0]["name"] == "golden/output"
    assert verdicts(allowed)["golden/output"] == "Passed"
    assert "1 more may change" in message(allowed, "golden/output")
    assert verdicts(most)["golden/output"] == "Passed"


def replace_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number] = text
    path.write_text("\n".join(lines))


async def test_labels_decide(golden: Callable[..., dict[str, Any]]) -> None:
    """The old version never reads a 7; the new one does: every seventh answer changes on purpose."""
    async with adapters(reads(lambda n: 1 if n == 7 else n), reads()) as (old, new):
        mended = await run(new, old, golden=golden(labelled=True, compare="TopOne"), limits={"maxKLDivergence": "9"})
        unlabelled = await run(new, old, golden=golden(compare="TopOne"), limits={"maxKLDivergence": "9"})
        broken = await run(old, new, golden=golden(labelled=True, compare="None"))
    assert verdicts(mended)["golden/output"] == verdicts(mended)["golden/accuracy"] == "Passed"
    assert verdicts(unlabelled)["golden/output"] == "Failed"
    assert "class 1 → 7" in message(unlabelled, "golden/output")
    assert verdicts(broken)["golden/accuracy"] == "Failed"
    assert "golden/output" not in verdicts(broken)
    assert message(broken, "golden/accuracy") == "108 of 120 answers are right, 120 with the old version"


async def test_a_distribution_that_moves_is_caught(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(reads(), reads(lambda n: n if n < 5 else 1)) as (old, new):
        report = await run(new, old, golden=golden(compare="None"))
    assert verdicts(report)["golden/kl"] == "Failed"
    assert "1 12 → 72" in message(report, "golden/kl")


async def test_slower_code_is_caught(golden: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REPEAT_SECONDS", 30)

    def slow(seconds: float) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return web.json_response(digit((await request.json())["n"]))

        return handle

    async with adapters(slow(0.005), slow(0.02)) as (old, new):
        report = await run(new, old, golden=golden(60), limits={"latencyIncreasePercent": 15})
    assert verdicts(report)["golden/latency-p95"] == "Failed"


async def test_the_first_deployment_has_nothing_to_compare_with(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(reads(), says({"outputs": [{"name": "x"}]})) as (good, bad):
        report = await run(good, golden=golden(labelled=True))
        malformed = await run(bad, golden=golden())
    assert report.status() == 0
    assert verdicts(report) == {"golden/errors": "Passed", "golden/output": "Passed", "golden/accuracy": "Passed"}
    assert "golden/latency-p95" in {check.name for check in report.checks}
    assert verdicts(malformed)["golden/output"] == "Failed"
    assert "an output has no name or datatype" in message(malformed, "golden/output")


async def test_requests_name_their_own_path(tmp_path: Path) -> None:
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.raw_path, await request.text()))
        return web.json_response({"ok": True})

    (tmp_path / "f").write_text('{"path": "/a%20b?c=d", "body": "plain"}\n{"body": [1]}\n')
    async with adapters(handle) as (new,):
        assert (await run(new, golden={"file": str(tmp_path / "f"), "path": "/score"})).status() == 0
    assert set(seen) == {("/a%20b?c=d", "plain"), ("/score", "[1]")}


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"\x00\xffnot http\r\n\r\n")


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(60)


async def long_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")


async def truncated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")


@pytest.mark.parametrize(
    ("handle", "fault"),
    [
        (endless, "the answer is larger than 4,194,304 bytes"),
        (trickle, "no complete answer within 0.3 s"),
        (garbage, "no valid HTTP answer"),
        (hang_up, "no valid HTTP answer"),
        (silence, "no complete answer within 0.3 s"),
        (long_header, "no valid HTTP answer"),
        (truncated, "no valid HTTP answer"),
    ],
)
async def test_connections_from_hell(golden: Callable[..., dict[str, Any]], handle: Raw, fault: str) -> None:
    async with adapters(reads()) as (old,), raw(handle) as new:
        report = await run(new, old, golden=golden(4, timeoutSeconds="0.3"))
    assert verdicts(report)["golden/errors"] == "Failed"
    assert fault in message(report, "golden/errors")
    assert verdicts(report)["golden/output"] == "Failed"
    assert report.error is None


@pytest.mark.parametrize(
    ("handler", "verdict", "said"),
    [
        (says(b"\xff\xfe"), "golden/output", "the answer is not UTF-8"),
        (says(b'{"outputs": NaN}'), "golden/output", "the answer is not JSON"),
        (says(b"[" * 100_000), "golden/output", "the answer is not JSON"),
        (says(digit(1), 500), "golden/errors", "status 500 (64 ×)"),
        (says(b"", 302, {"Location": "/elsewhere"}), "golden/errors", "status 302"),
        (says(b"x" * (5 << 20)), "golden/errors", "the answer is larger than 4,194,304 bytes"),
        (says(b"\x1f\x8b", 200, {"Content-Encoding": "gzip"}), "golden/output", "the answer is not UTF-8"),
        (says({"outputs": []}), "golden/output", 'outputs ["digit", "probability"] → []'),
    ],
)
async def test_answers_from_hell(
    golden: Callable[..., dict[str, Any]], handler: Handler, verdict: str, said: str
) -> None:
    async with adapters(reads(), handler) as (old, new):
        report = await run(new, old, golden=golden())
    assert report.status() == 3
    assert verdicts(report)[verdict] == "Failed"
    assert said in message(report, verdict)


async def test_connections_that_the_server_closes_are_opened_anew(golden: Callable[..., dict[str, Any]]) -> None:
    answers = json.dumps(digit(3)).encode()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):  # and then it closes the connection without a word
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answers) + answers)
            await writer.drain()

    async with raw(twice) as old, raw(twice) as new:
        report = await run(new, old, golden=golden(40))
    assert verdicts(report)["golden/errors"] == "Passed", report.text()


async def test_a_serving_version_that_refuses_everything_is_no_baseline(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(says(b"", 404), reads()) as (old, new):
        report = await run(new, old, golden=golden())
    assert report.status() == 1
    assert report.error
    assert report.error.reason == "GoldenAnswersUnusable"
    assert "answered none of 64 golden requests (status 404 (64 ×)); mend golden.path" in str(report.error)


async def test_top_one_without_classes_is_an_error(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(says({"x": 0.5}), says({"x": 0.6})) as (old, new):
        report = await run(new, old, golden=golden(20, compare="TopOne"))
    assert report.error
    assert report.error.reason == "GoldenAnswersUnusable"
    assert "names a class" in str(report.error)


@pytest.mark.parametrize("part", ["candidate", "serving"])
async def test_pods_that_cannot_be_reached(golden: Callable[..., dict[str, Any]], part: str) -> None:
    async with adapters(reads(), None) as (up, down):
        candidate, serving = (down, up) if part == "candidate" else (up, down)
        report = await run(candidate, serving, golden=golden())
        smoke = await run(down, smoke=[{"name": "a", "path": "/"}])
    assert report.error
    assert report.error.reason == "GoldenUnreachable"
    assert f"the {part} version's pod {down} cannot be reached: Connect" in str(report.error)
    assert smoke.error
    assert smoke.error.reason == "CandidateUnreachable"


async def test_at_the_deadline_what_failed_has_failed(golden: Callable[..., dict[str, Any]]) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.json_response(digit(1))

    async with adapters(reads(), slow, slow) as (quick, new, same):
        differs = await run(new, quick, golden=golden(3000), deadline=4)
        report = await run(new, same, golden=golden(3000), deadline=4)
    assert differs.status() == 3
    assert verdicts(differs)["golden/output"] == "Failed"
    assert report.status() == 1
    assert report.error
    assert report.error.reason == "VerificationDeadlineExceeded"
    assert "of 3,000 golden requests were answered within 4 s" in str(report.error)
    assert set(verdicts(report).values()) == {"Inconclusive"}


async def test_the_same_number_of_pods_of_each_version_is_asked(golden: Callable[..., dict[str, Any]]) -> None:
    asked: set[str] = set()

    def counted(name: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked.add(name)
            return web.json_response(digit(1))

        return handle

    async with adapters(counted("a"), counted("b"), counted("c"), counted("new-1"), counted("new-2")) as (
        a,
        b,
        c,
        *new,
    ):
        await run(new, [a, b, c], golden=golden(20))
    assert asked == {"a", "b", "new-1", "new-2"}


def smoke(**request: Any) -> list[dict[str, Any]]:
    return [{"name": "one", "path": "/x"} | request]


def condition(path: str, **more: str) -> dict[str, Any]:
    return {"expect": {"jsonPath": [{"path": path} | more]}}


@pytest.mark.parametrize(
    ("body", "request_", "problem"),
    [
        (b"", {}, ""),
        (b"", {"expect": {"status": 204}}, "status 200, not 204"),
        ({"a": [1, 2]}, condition("$.a[1]", equals="2"), ""),
        ({"a": [1, 2]}, condition("$.a[1]", equals="2.0"), ""),
        ({"a": [1, 2]}, condition("$.a[*]", equals="2"), ""),
        ({"a": [1, 2]}, condition("$.a", equals="[1, 2]"), ""),
        ({"a": [1, 2]}, condition("$.a[0]", equals="2"), "$.a[0] is 1, not 2"),
        ({"a": True}, condition("$.a", equals="1"), "$.a is true, not 1"),
        ({"a": "x y"}, condition("$.a", equals="x y"), ""),
        ({"a": "7"}, condition("$.a", equals="7"), '$.a is "7", not 7'),
        ({"a": "7"}, condition("$.a", equals='"7"'), ""),
        ({"a": "seven"}, condition("$.a", matches="^s.*n$"), ""),
        ({"a": "seven"}, condition("$.a", matches="8"), '$.a is "seven", which does not match "8"'),
        ({"a": {"b": 1}}, condition("$.a", matches='"b": 1'), ""),
        ({"a": 1}, condition("$.b"), "$.b is not there"),
        ({"a": None}, condition("$.a"), ""),
        ({"a": 1}, condition("$.b", equals="1"), "$.b is not there, not 1"),
        ([{"n": 1, "ok": False}], condition("$[?@.n == 1].ok", equals="false"), ""),
        (b"<html>", condition("$.a"), "the answer is not JSON"),
        (b'{"a": NaN}', condition("$.a"), "the answer is not JSON"),
        (digit(3), {"protocol": "V2"}, ""),
        ({"name": "m", "ready": True}, {"protocol": "V2"}, ""),
        ({"x": 1}, {"protocol": "V2"}, "the answer has no outputs, as the Open Inference Protocol wants them"),
        (
            {"outputs": [{"name": "p", "datatype": "FP32", "shape": [2], "data": [1]}]},
            {"protocol": "V2"},
            "an output's data do not fill its shape",
        ),
        ({"choices": [{"text": "x"}]}, {"protocol": "OpenAI"}, ""),
        ({"choices": []}, {"protocol": "OpenAI"}, "the answer has no choices and no data, as OpenAI's API gives them"),
        ([], {"protocol": "OpenAI"}, "the answer is not a JSON object"),
    ],
)
async def test_smoke(body: Any, request_: dict[str, Any], problem: str) -> None:
    async with adapters(says(body)) as (new,):
        report = await run(new, smoke=smoke(**request_))
    check = report.checks[0]
    assert (check.name, check.verdict) == ("smoke/one", "Failed" if problem else "Passed")
    assert problem in check.message


async def test_what_a_smoke_request_sends_by_default() -> None:
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.raw_path, request.headers.get("Content-Type"), await request.text()))
        return web.json_response(digit(1) | {"choices": [1]})

    requests = [
        {"name": "a", "protocol": "V2", "body": "{}"},
        {"name": "b", "protocol": "OpenAI", "body": "{}", "headers": [{"name": "content-type", "value": "text/x"}]},
        {"name": "c", "path": "/healthz"},
        {"name": "d", "path": "/d", "method": "DELETE"},
    ]
    async with adapters(handle) as (new,):
        assert (await run(new, smoke=requests)).status() == 0
    assert seen == [
        ("POST", "/v2/models/m/infer", "application/json", "{}"),
        ("POST", "/v1/chat/completions", "text/x", "{}"),
        ("GET", "/healthz", None, ""),
        ("DELETE", "/d", None, ""),
    ]


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with adapters(says(b"", 302, {"Location": "http://127.0.0.1:1/"})) as (new,):
        refused = await run(new, smoke=smoke())
        wanted = await run(new, smoke=smoke(expect={"status": 302}))
    assert "status 302, not 200; redirects are not followed" in refused.checks[0].message
    assert wanted.status() == 0


async def test_golden_requests_wait_for_smoke_requests(golden: Callable[..., dict[str, Any]]) -> None:
    async with adapters(reads(), says(b"", 500)) as (old, new):
        report = await run(new, old, smoke=smoke(), golden=golden())
    assert report.status() == 3
    assert [check.name for check in report.checks] == ["smoke/one"]
    assert "Golden requests were not sent" in report.text()


async def test_no_secret_leaves_in_a_report() -> None:
    secret = 'sesame"open-' + "0123456789" * 20

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.json_response({"you": request.headers["Authorization"], "key": request.headers["X-Key"]})

    headers = [{"name": "Authorization", "value": f"Bearer {secret}"}, {"name": "X-Key", "value": "p4ss word"}]
    async with adapters(echo) as (new,):
        for path in ("$.you", "$.key", "$"):
            report = await run(new, smoke=smoke(headers=headers, **condition(path, equals="none")))
            told = report.text() + report.summary()
            assert report.status() == 3
            assert "***" in told
            for hidden in ("sesame", "0123456789", "p4ss"):
                assert hidden not in told


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (condition("$..["), "smoke request one: condition $..[ is no JSONPath (RFC 9535)"),
        (condition("$.a", matches="("), "smoke request one: condition $.a: matches is no regular expression"),
    ],
)
async def test_a_wrong_condition_is_the_users(expect: dict[str, Any], said: str) -> None:
    report = await run("127.0.0.1:1", smoke=smoke(**expect))
    assert report.error
    assert report.error.reason == "SmokeRequestInvalid"
    assert said in str(report.error)


async def test_a_bad_golden_file_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("{}\n")
    report = await run("127.0.0.1:1", smoke=smoke(), golden={"file": str(tmp_path / "f")})
    assert report.error
    assert report.error.reason == "GoldenFileInvalid"
    assert f"{tmp_path}/f line 1 has no body" in str(report.error)
