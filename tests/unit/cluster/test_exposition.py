"""Reading an adapter's figures: what the SDK writes, and what a hostile pod could."""

import math
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.cluster import exposition
from topgraft.cluster.exposition import UnreadableError, parse
from topgraft.rollout.traffic import OTHER_LABEL
from topgraft_adapter.metrics import Metrics

LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    st.lists(st.tuples(st.sampled_from([200, 400, 500, 503]), st.floats(0.0001, 50)), max_size=20),
    st.dictionaries(LABELS, st.integers(1, 5), max_size=8),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_what_the_sdk_writes_is_read_back(
    answers: list[tuple[int, float]], labels: dict[str, int], judged: tuple[int, int]
) -> None:
    metrics = Metrics("m", "v")
    for code, seconds in answers:
        metrics.observe(code, seconds)
    metrics.answered([label for label, count in labels.items() for _ in range(count)])
    metrics.judged(*judged)
    found = parse(metrics.text())
    assert found.requests == len(answers)
    assert found.errors == sum(code >= 500 for code, _ in answers)
    assert found.labels == labels
    assert (found.right, found.wrong) == judged
    assert found.buckets[math.inf] == len(answers)
    assert (found.figures().latency_p95 is not None) is bool(answers)


@given(st.binary(max_size=300) | LABELS.map(lambda text: f"topgraft_adapter_requests_total{text} 1".encode()))
def test_nothing_else_than_its_own_error_comes_of_any_text(content: bytes) -> None:
    with suppress(UnreadableError):
        parse(content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "has no metric topgraft_adapter_"),
        (b"up 1\n", "source: Prometheus"),
        (b"\xff\xfe", "not UTF-8, at byte 0"),
        (b"<html>", "has no metric"),
        (b'topgraft_adapter_requests_total{code="200"} NaN', "NaN: a counter is a number"),
        (b'topgraft_adapter_requests_total{code="200"} -1', "-1: a counter is a number"),
        (b'topgraft_adapter_requests_total{code="200"} +Inf', "a counter is a number"),
        (b'topgraft_adapter_requests_total{code="200"} many', "a counter is a number"),
        (b"topgraft_adapter_requests_total", "not in the text format"),
        (b'topgraft_adapter_request_seconds_bucket{le="soon"} 1', "no number above 0"),
        (b'topgraft_adapter_request_seconds_bucket{le="-1"} 1', "no number above 0"),
        (b'topgraft_adapter_answers_total{label="a"} 1\n' * 2001, "2001 series"),
        (b"topgraft_adapter_x{" + b"a" * 4096 + b"} 1", "a series has more than 4096 characters"),
        (b"topgraft_adapter_answers_total{" + b'a="",' * 65 + b"} 1", "a series has more than 64 labels"),
        (b"topgraft_adapter_answers_total{" + b"a" * 4000 + b"} 1", "labels not in the text format"),
        (b'topgraft_adapter_answers_total{label="a' + b"\\" * 3000 + b'\\" 1', "not in the text format"),
        (
            b"".join(b'topgraft_adapter_request_seconds_bucket{le="%d"} 1\n' % n for n in range(1, 258)),
            "257 buckets, more than 256",
        ),
    ],
)
def test_errors_say_what_is_wrong(content: bytes, error: str) -> None:
    with pytest.raises(UnreadableError, match=error.replace("+", r"\+")):
        parse(content)


def test_too_many_labels_are_no_classes() -> None:
    content = "\n".join(f'topgraft_adapter_answers_total{{label="{n}"}} 2' for n in range(300)).encode()
    found = parse(content)
    assert found.labels == {OTHER_LABEL: 600}
    assert found.figures().distribution == {}


def test_a_long_label_is_cut_as_a_baseline_on_record_is() -> None:
    lines = [f'topgraft_adapter_answers_total{{label="{"x" * 128}{end}"}} 2' for end in ("a", "b")]
    assert parse("\n".join(lines).encode()).labels == {"x" * 128: 4}


def test_the_labels_of_a_metric_that_does_not_matter_are_not_read() -> None:
    content = b'topgraft_adapter_requests_total{code="200"} 1\ntopgraft_adapter_x{' + b"a" * 4000 + b"} 1"
    assert parse(content).requests == 1


def test_no_part_of_a_pattern_gives_back_what_it_took() -> None:
    """Time that grows with the square of a line held the operator's loop for hours."""
    for pattern, free in ((exposition._SAMPLE, 1), (exposition._LABEL, 0)):
        text = re.sub(r"[*+]\+", "", pattern.pattern)
        assert text.count("*") + text.count("+") == free, "only the one .* of a line is not possessive"


def test_metrics_of_others_are_not_even_looked_at() -> None:
    content = b'python_gc{x="\n nonsense NaN\ntopgraft_adapter_requests_total{code="500"} 3\nother NaN NaN NaN'
    assert (parse(content).requests, parse(content).errors) == (3, 3)
