"""Smoke requests: a few calls that the candidate must answer as expected before anything else is tried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from topgraft.checks.client import Answer, Client, url_of
from topgraft.checks.config import Condition, SmokeRequest
from topgraft.checks.failure import CheckError, printable
from topgraft.checks.outputs import AnswerError, loads, outputs_of
from topgraft.checks.report import hide
from topgraft.checks.verdict import Check

_SHOWN = 80
_SEARCHED = 1 << 16
"""Characters of a value that a regular expression looks at."""

Test = Callable[[Any], str]
"""Takes the JSON of an answer; returns what is wrong with it, or nothing."""


class Smoke:
    """The requests with their conditions compiled, so that a wrong one is told before the first is sent."""

    def __init__(self, requests: Sequence[SmokeRequest], secrets: Sequence[str] = ()) -> None:
        """Raises CheckError that names the request and the condition; no message will hold a secret."""
        self._requests = [
            (request, [_compile(request, condition, secrets) for condition in request.conditions])
            for request in requests
        ]

    async def run(self, client: Client, addresses: Sequence[str]) -> list[Check]:
        """Send each request once, in turn to the candidate's pods, one after the other."""
        checks = []
        for number, (request, tests) in enumerate(self._requests):
            body = None if request.body is None else request.body.encode("utf-8", "replace")
            url = url_of(addresses[number % len(addresses)], request.path)
            answer = await client.send(request.method, url, body, request.timeout, dict(request.headers))
            problem = _judge(request, tests, answer)
            took = f"status {answer.status} in {answer.seconds * 1000:.0f} ms" if answer.seconds is not None else ""
            checks.append(
                Check(
                    f"smoke/{request.name}",
                    "Failed" if problem else "Passed",
                    f"{request.method} {printable(request.path)}: {problem or took or 'as expected'}",
                    new=answer.error or f"status {answer.status}",
                    limit=f"status {request.status}",
                )
            )
        return checks


def _judge(request: SmokeRequest, tests: Sequence[Test], answer: Answer) -> str:
    if answer.error:
        return answer.error
    if answer.status != request.status:
        hint = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return f"status {answer.status}, not {request.status}{hint}"
    wants_form = request.protocol != "HTTP" and not answer.failed and answer.body
    if not tests and not wants_form:
        return ""
    try:
        value = loads(answer.body)
        if wants_form:
            _check_form(request.protocol, value)
    except AnswerError as error:
        return str(error)
    return next((problem for test in tests if (problem := test(value))), "")


def _check_form(protocol: str, value: Any) -> None:
    """The tensors of an inference fill their shapes; a completion has choices, a list data."""
    if not isinstance(value, dict):
        raise AnswerError("the answer is not a JSON object")
    if protocol == "V2":
        if "outputs" in value:
            outputs_of(value)
        elif not value.keys() & {"name", "live", "ready"}:
            raise AnswerError("the answer has no outputs, as the Open Inference Protocol wants them")
    elif not any(isinstance(value.get(field), list) and value[field] for field in ("choices", "data", "output")):
        raise AnswerError("the answer has no choices and no data, as OpenAI's API gives them")


def _compile(request: SmokeRequest, condition: Condition, secrets: Sequence[str]) -> Test:
    # Only here: it takes a quarter of a second, and golden replay alone needs none of it.
    import jsonpath  # noqa: PLC0415

    where = f"smoke request {request.name}: condition {printable(condition.path)}"
    try:
        find = jsonpath.compile(condition.path, strict=True).findall
    except (jsonpath.JSONPathError, RecursionError) as error:
        said = printable(str(error)).partition("\\n")[0][:_SHOWN]
        raise CheckError("SmokeRequestInvalid", f"{where} is no JSONPath (RFC 9535): {said}") from None
    try:
        fits, wanted = _wanted(condition)
    except re.error as error:
        raise CheckError("SmokeRequestInvalid", f"{where}: matches is no regular expression: {error}") from None

    def test(value: Any) -> str:
        try:
            found = find(value)
        except (jsonpath.JSONPathError, RecursionError, ValueError, TypeError):
            return f"{condition.path} cannot be looked up in this answer"
        if any(map(fits, found)):
            return ""
        return f"{condition.path} {f'is {_shown(found[0], secrets)}' if found else 'is not there'}{wanted}"

    return test


def _wanted(condition: Condition) -> tuple[Callable[[Any], bool], str]:
    if condition.equals is not None:
        try:
            wanted = json.loads(condition.equals)
        except (ValueError, RecursionError):
            wanted = condition.equals
        # Text, because to Python true and 1 are equal.
        canonical = _canonical(wanted)
        return lambda value: _canonical(value) == canonical, f", not {_shown(wanted)}"
    if condition.matches is not None:
        pattern = re.compile(condition.matches)

        def matches(value: Any) -> bool:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            return bool(pattern.search(text[:_SEARCHED]))

        return matches, f", which does not match {_shown(condition.matches)}"
    return lambda _: True, ""


def _canonical(value: Any) -> str:
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    """7.0 as 7: JSON knows one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return {name: _whole(one) for name, one in value.items()} if isinstance(value, dict) else value


def _shown(value: Any, secrets: Sequence[str] = ()) -> str:
    text = printable(hide(json.dumps(value, ensure_ascii=False), secrets))
    return text[:_SHOWN] + "…" if len(text) > _SHOWN else text
