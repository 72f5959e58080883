"""What `topgraft verify` is told: the operator's JSON, read once and checked at its edge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal

from topgraft.checks.failure import CheckError

Protocol = Literal["HTTP", "V2", "OpenAI"]
Compare = Literal["Exact", "Tolerance", "TopOne", "None"]


@dataclass(frozen=True)
class Condition:
    """What must stand at a place of a JSON answer; `equals` is JSON or text that stands for itself."""

    path: str
    equals: str | None
    matches: str | None


@dataclass(frozen=True)
class SmokeRequest:
    """One request to the candidate and what its answer must be like."""

    name: str
    protocol: Protocol
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str | None
    status: int
    conditions: tuple[Condition, ...]
    timeout: float


@dataclass(frozen=True)
class Tolerance:
    """|new - old| <= absolute + relative * |old|, for the output `tensor`, or for all without an entry of their own."""

    tensor: str | None
    absolute: Fraction
    relative: Fraction


@dataclass(frozen=True)
class Golden:
    """Recorded requests and how their answers are compared."""

    file: str
    path: str
    compare: Compare
    tolerances: tuple[Tolerance, ...]
    min_agreement: int
    may_change: frozenset[str]
    concurrency: int
    timeout: float


@dataclass(frozen=True)
class Limits:
    """In percent (errors: in points of 100); `kl` in nats."""

    latency_increase: Fraction
    accuracy_drop: Fraction
    error_increase: Fraction
    kl: Fraction
    min_samples: int


@dataclass(frozen=True)
class Config:
    """Addresses are `host:port`; `serving` is empty at the first deployment."""

    candidate: tuple[str, ...]
    serving: tuple[str, ...]
    model: str
    smoke: tuple[SmokeRequest, ...]
    golden: Golden | None
    limits: Limits
    deadline: float

    def secrets(self) -> tuple[str, ...]:
        """What no report may show: the values of headers, whole and word by word (`Bearer …`), also as JSON has it. The
        longest come first, because a part of one must not break it up."""
        values = [value for request in self.smoke for _, value in request.headers]
        words = {word for value in values for word in (value, *value.split()) if len(word) >= 4}
        words |= {json.dumps(word)[1:-1] for word in words}
        return tuple(sorted(words, key=len, reverse=True))


def read(text: str) -> Config:
    """Read the operator's JSON; raises CheckError that names the field."""
    try:
        root = _Fields(json.loads(text), "")
    except (ValueError, RecursionError) as error:
        raise _invalid("", f"is not JSON: {error}") from None
    model = root.text("model")
    serving = root.part("serving")
    golden = root.part("golden")
    candidate = _addresses(root.required("candidate"))
    if not candidate:
        raise _invalid("candidate.addresses", "is empty")
    return Config(
        candidate=candidate,
        serving=_addresses(serving) if serving else (),
        model=model,
        smoke=tuple(_smoke(fields, model) for fields in root.parts("smoke")),
        golden=_golden(golden, model) if golden else None,
        limits=_limits(root.part("limits") or _Fields({}, "limits")),
        deadline=float(root.number("deadlineSeconds", 900)),
    )


class _Fields:
    """A JSON object with typed access; every complaint names the way to the field."""

    def __init__(self, value: Any, way: str) -> None:
        if not isinstance(value, dict):
            raise _invalid(way, "is not an object")
        self._value: dict[str, Any] = value
        self._way = way

    def way(self, name: str) -> str:
        return f"{self._way}.{name}".lstrip(".")

    def get(self, name: str) -> Any:
        return self._value.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._value.get(name, default)
        if not isinstance(value, str):
            raise _invalid(self.way(name), "is not text")
        return value

    def optional(self, name: str) -> str | None:
        return None if self.get(name) is None else self.text(name)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> Any:
        value = self.text(name, default)
        if value not in choices:
            raise _invalid(self.way(name), f"is {value!r}; it must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, default: int | str) -> Fraction:
        value = self._value.get(name, default)
        try:
            number = Decimal(str(value))
            if isinstance(value, bool) or not number.is_finite() or number < 0 or number.adjusted() > 18:
                raise InvalidOperation
            return Fraction(number)
        except InvalidOperation:
            raise _invalid(self.way(name), f"is {value!r}, not a number that is not negative") from None

    def part(self, name: str) -> _Fields | None:
        value = self.get(name)
        return None if value is None else _Fields(value, self.way(name))

    def required(self, name: str) -> _Fields:
        return _Fields(self.get(name), self.way(name))

    def items(self, name: str) -> list[Any]:
        value = self._value.get(name, [])
        if not isinstance(value, list):
            raise _invalid(self.way(name), "is not a list")
        return value

    def parts(self, name: str) -> list[_Fields]:
        return [_Fields(value, f"{self.way(name)}[{index}]") for index, value in enumerate(self.items(name))]


def _invalid(way: str, what: str) -> CheckError:
    return CheckError("VerificationConfigInvalid", f"the configuration of topgraft verify: {way or 'it'} {what}")


def _addresses(fields: _Fields) -> tuple[str, ...]:
    """The pods' addresses, so that nothing depends on DNS; without any, the host and port of the URL."""
    addresses = fields.items("addresses")
    if not addresses and fields.get("url"):
        addresses = [fields.text("url").partition("://")[2].partition("/")[0]]
    for address in addresses:
        host, colon, port = str(address).rpartition(":")
        if not (host and colon and port.isdigit()):
            raise _invalid(fields.way("addresses"), f"has {address!r}, which is not host:port")
    return tuple(map(str, addresses))


def _smoke(fields: _Fields, model: str) -> SmokeRequest:
    protocol: Protocol = fields.choice("protocol", "HTTP", ("HTTP", "V2", "OpenAI"))
    paths: Mapping[Protocol, str] = {"V2": f"/v2/models/{model}/infer", "OpenAI": "/v1/chat/completions"}
    body = fields.optional("body")
    expect = fields.part("expect") or _Fields({}, fields.way("expect"))
    return SmokeRequest(
        name=fields.text("name"),
        protocol=protocol,
        method=fields.optional("method") or ("GET" if body is None else "POST"),
        path=fields.optional("path") or paths.get(protocol, "/"),
        headers=tuple((header.text("name"), header.text("value")) for header in fields.parts("headers")),
        body=body,
        status=int(expect.number("status", 200)),
        conditions=tuple(
            Condition(c.text("path"), c.optional("equals"), c.optional("matches")) for c in expect.parts("jsonPath")
        ),
        timeout=float(fields.number("timeoutSeconds", 5)),
    )


def _golden(fields: _Fields, model: str) -> Golden:
    return Golden(
        file=fields.text("file"),
        path=fields.optional("path") or f"/v2/models/{model}/infer",
        compare=fields.choice("compare", "Exact", ("Exact", "Tolerance", "TopOne", "None")),
        tolerances=tuple(
            Tolerance(t.optional("tensor"), t.number("absolute", 0), t.number("relative", 0))
            for t in fields.parts("tolerances")
        ),
        min_agreement=int(fields.number("minAgreementPercent", 100)),
        may_change=frozenset(map(str, fields.items("mayChange"))),
        concurrency=max(1, int(fields.number("concurrency", 2))),
        timeout=float(fields.number("timeoutSeconds", 10)),
    )


def _limits(fields: _Fields) -> Limits:
    return Limits(
        latency_increase=fields.number("latencyIncreasePercent", 15),
        accuracy_drop=fields.number("accuracyDropPercent", 5),
        error_increase=fields.number("errorIncreasePercent", 1),
        kl=fields.number("maxKLDivergence", "0.2"),
        min_samples=int(fields.number("minSamples", 50)),
    )
