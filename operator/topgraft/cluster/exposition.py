"""An adapter's figures out of Prometheus' text format. What a pod sends is not trusted: all is checked and bounded."""

from __future__ import annotations

import math
import re

from topgraft.rollout.traffic import OTHER_LABEL, Counters

PREFIX = "topgraft_adapter_"
MAX_SERIES = 2_000
MAX_LABELS = 256

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?\r?", re.DOTALL)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class UnreadableError(ValueError):
    """The text is not what an adapter's /metrics answers; the message says why."""


def parse(content: bytes) -> Counters:
    """The counters of one pod. Raises UnreadableError; metrics of other names are skipped unread."""
    try:
        lines = [line for line in content.decode().split("\n") if line.startswith(PREFIX)]
    except UnicodeDecodeError as error:
        raise UnreadableError(f"the answer is not UTF-8, at byte {error.start}") from None
    if not lines:
        raise UnreadableError(
            f"the answer has no metric {PREFIX}...: a server without the SDK needs source: Prometheus"
        )
    if len(lines) > MAX_SERIES:
        raise UnreadableError(f"the answer has {len(lines)} series, more than {MAX_SERIES}")
    return _counters(dict(_sample(line) for line in lines))


Name = tuple[str, str]
"""A metric without its prefix, and the one label that matters here (code, label, verdict, le)."""

_MATTERS = {
    "requests_total": "code",
    "answers_total": "label",
    "feedback_total": "verdict",
    "request_seconds_bucket": "le",
}


def _sample(line: str) -> tuple[Name, float]:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise UnreadableError(f"not in the text format: {line[:100]!r}")
    metric = found[1].removeprefix(PREFIX)
    labels = dict(_LABEL.findall(found[2] or ""))
    try:
        value = float(found[3])
    except ValueError:
        value = math.nan
    if metric in _MATTERS and not 0 <= value < math.inf:
        raise UnreadableError(f"{found[1]} is {found[3][:40]}: a counter is a number that is not negative")
    return (metric, labels.get(_MATTERS.get(metric, ""), "")), value


def _counters(samples: dict[Name, float]) -> Counters:
    of: dict[str, dict[str, float]] = {metric: {} for metric in _MATTERS}
    for (metric, label), value in samples.items():
        if metric in of:
            of[metric][_unescaped(label)] = value
    labels = of["answers_total"]
    if len(labels) > MAX_LABELS:
        labels = {OTHER_LABEL: sum(labels.values())}
    codes, feedback = of["requests_total"], of["feedback_total"]
    return Counters(
        requests=sum(codes.values()),
        errors=sum(count for code, count in codes.items() if code.startswith("5")),
        right=feedback.get("right", 0),
        wrong=feedback.get("wrong", 0),
        labels=labels,
        buckets={_bound(le): count for le, count in of["request_seconds_bucket"].items()},
    )


def _bound(text: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not bound > 0:
        raise UnreadableError(f"the bucket bound le={text[:40]!r} is no number above 0")
    return bound


def _unescaped(label: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], label)
