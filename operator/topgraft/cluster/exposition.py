"""An adapter's figures out of Prometheus' text format. What a pod sends is not trusted: all is checked and bounded."""

from __future__ import annotations

import math
import re

from topgraft.rollout.traffic import MAX_LABEL_LENGTH, OTHER_LABEL, Counters

PREFIX = "topgraft_adapter_"
MAX_SERIES = 2_000
MAX_LINE = 4_096
"""Characters of one series."""
MAX_LABELS_OF_SERIES = 64
MAX_LABELS = 256
MAX_BUCKETS = 256

# Possessive throughout: no text makes them try a character twice, or the event loop would stand still for hours.
_SAMPLE = re.compile(r"(\w++)(?:\{(.*)\})?[ \t]++(\S++)(?:[ \t]++-?\d++)?\r?", re.DOTALL)
_LABEL = re.compile(r'[ \t]*+(\w++)="((?:[^"\\]|\\.)*+)"[ \t]*+(?:,|$)', re.DOTALL)


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
    if any(len(line) > MAX_LINE for line in lines):
        raise UnreadableError(f"a series has more than {MAX_LINE} characters")
    return _counters(dict(filter(None, map(_sample, lines))))


Name = tuple[str, str]
"""A metric without its prefix, and the one label that matters here (code, label, verdict, le)."""

_MATTERS = {
    "requests_total": "code",
    "answers_total": "label",
    "feedback_total": "verdict",
    "request_seconds_bucket": "le",
}


def _sample(line: str) -> tuple[Name, float] | None:
    """One series; None for a metric that does not matter here."""
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise UnreadableError(f"not in the text format: {line[:100]!r}")
    metric = found[1].removeprefix(PREFIX)
    if metric not in _MATTERS:
        return None
    try:
        value = float(found[3])
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UnreadableError(f"{found[1]} is {found[3][:40]}: a counter is a number that is not negative")
    return (metric, _label(found[2] or "", _MATTERS[metric])), value


def _label(text: str, name: str) -> str:
    """The value of one label out of what stands between the braces, without its escapes; "" when it is not there."""
    value, place, seen = "", 0, 0
    while place < len(text):
        if (seen := seen + 1) > MAX_LABELS_OF_SERIES:
            raise UnreadableError(f"a series has more than {MAX_LABELS_OF_SERIES} labels")
        found = _LABEL.match(text, place)
        if found is None:
            raise UnreadableError(f"labels not in the text format: {text[place : place + 100]!r}")
        if found[1] == name:
            value = _unescaped(found[2])
        place = found.end()
    return value


def _counters(samples: dict[Name, float]) -> Counters:
    of: dict[str, dict[str, float]] = {metric: {} for metric in _MATTERS}
    for (metric, label), value in samples.items():
        of[metric][label] = value
    buckets = of["request_seconds_bucket"]
    if len(buckets) > MAX_BUCKETS:
        raise UnreadableError(f"the histogram has {len(buckets)} buckets, more than {MAX_BUCKETS}")
    codes, feedback = of["requests_total"], of["feedback_total"]
    return Counters(
        requests=sum(codes.values()),
        errors=sum(count for code, count in codes.items() if code.startswith("5")),
        right=feedback.get("right", 0),
        wrong=feedback.get("wrong", 0),
        labels=_bounded(of["answers_total"]),
        buckets={_bound(le): count for le, count in buckets.items()},
    )


def _bounded(labels: dict[str, float]) -> dict[str, float]:
    """Labels as they are compared: cut, and when they are too many to be classes, all as one."""
    if len(labels) > MAX_LABELS:
        return {OTHER_LABEL: sum(labels.values())}
    cut: dict[str, float] = {}
    for label, count in labels.items():
        cut[label[:MAX_LABEL_LENGTH]] = cut.get(label[:MAX_LABEL_LENGTH], 0) + count
    return cut


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
