"""Reading an adapter's figures: what the SDK writes, and what a hostile pod could."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
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


def test_metrics_of_others_are_not_even_looked_at() -> None:
    content = b'python_gc{x="\n nonsense NaN\ntopgraft_adapter_requests_total{code="500"} 3\nother NaN NaN NaN'
    assert (parse(content).requests, parse(content).errors) == (3, 3)
