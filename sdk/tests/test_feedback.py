"""Labels, feedback and the figures of both."""

import json
import re
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topgraft_adapter.errors import InvalidInputError, UnknownAnswerError
from topgraft_adapter.feedback import Feedback
from topgraft_adapter.metrics import OTHER_LABEL, Metrics


def counts(server, name, label):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as response:
        text = response.read().decode()
    found = re.findall(rf'^{name}\{{{label}="([^"]*)"[^}}]*\}} ([0-9.]+)$', text, re.MULTILINE)
    return {value: float(count) for value, count in found}


@pytest.mark.parametrize(
    ("adapter", "labels"),
    [("Classes", {"10": 1, "13": 2}), ("Scores", {"0": 1, "3": 2}), ("WithoutLabels", {}), ("Scale", {})],
)
def test_labels_are_counted_by_row(start, adapter, labels):
    server = start(adapter)
    server.wait()
    assert server.infer([9, 1, 1, 1], [0, 0, 0, 5])[0] == 200
    assert server.infer([0, 0, 0, 5])[0] == 200
    assert counts(server, "topgraft_adapter_answers_total", "label") == labels


def test_feedback_is_held_against_the_answer(start):
    server = start("Classes")
    server.wait()
    server.infer([9, 1, 1, 1], [0, 0, 0, 5], id="a")
    server.infer([9, 1, 1, 1])
    assert server.ask("POST", "/feedback", {"id": "a", "label": [10, 10]}) == (200, {"right": 1, "wrong": 1})
    status, answer = server.ask("POST", "/feedback", {"id": "a", "label": [10, 10]})
    assert status == 404
    assert "judged before" in answer["error"]
    told = {"label": 10, "answer": 10, "version": "scale-1"}
    assert server.ask("POST", "/feedback", told) == (200, {"right": 1, "wrong": 0})
    assert server.ask("POST", "/feedback", {**told, "version": "scale-2"})[0] == 404
    assert counts(server, "topgraft_adapter_feedback_total", 'model="scale",verdict') == {
        "right": 2,
        "wrong": 1,
        "unknown": 2,
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"id": "a"}', "`label`: a label is"),
        (b'{"id": "a", "label": 1.5}', "`label`: a label is"),
        (b'{"id": "a", "label": []}', "`label` is empty"),
        (b'{"id": 7, "label": 1}', "`id` must be"),
        (b'{"label": 1, "answer": 1}', "`answer` needs `version`"),
        (b'{"id": "a", "label": [1, 2]}', "has 2 values, the answer has 1"),
    ],
)
def test_bad_feedback_says_what_is_wrong(body, error):
    feedback = Feedback("v1")
    feedback.remember("a", ["1"])
    with pytest.raises(InvalidInputError, match=error):
        feedback.judge(body)
    assert feedback.judge(b'{"id": "a", "label": 1}') == (1, 0)


@given(st.lists(st.tuples(st.text(max_size=3), st.lists(st.sampled_from("abc"), max_size=4)), max_size=50))
def test_the_newest_answer_of_an_id_is_what_is_judged(answers):
    feedback = Feedback("v1")
    for identity, labels in answers:
        feedback.remember(identity, labels)
    newest = {identity: labels for identity, labels in answers if identity}
    assert feedback._labels == sum(len(labels) for labels in newest.values())


def told(rows):
    return json.dumps({"label": ["1"] * rows, "answer": ["2"] * rows, "version": "v1"}).encode()


def test_no_more_is_told_than_was_answered_and_not_judged():
    feedback = Feedback("v1")
    with pytest.raises(UnknownAnswerError, match="0 rows of answers are not judged yet"):
        feedback.judge(told(1))
    feedback.remember("a", ["1", "1"])
    feedback.remember("", ["2"] * 3)
    with pytest.raises(UnknownAnswerError, match="5 rows"):
        feedback.judge(told(6))
    assert feedback.judge(told(2)) == (0, 2)
    assert feedback.judge(b'{"id": "a", "label": [1, 2]}') == (1, 1)
    assert feedback.judge(told(1)) == (0, 1)
    with pytest.raises(UnknownAnswerError, match="0 rows"):
        feedback.judge(told(1))


def test_bad_feedback_takes_nothing_from_what_may_be_told():
    feedback = Feedback("v1")
    feedback.remember("", ["1"])
    with pytest.raises(InvalidInputError):
        feedback.judge(b'{"label": [1, 2], "answer": 1, "version": "v1"}')
    assert feedback.judge(told(1)) == (0, 1)


def test_an_answer_that_was_told_is_still_judged_by_its_id_and_paid_for():
    feedback = Feedback("v1")
    feedback.remember("a", ["1"])
    assert feedback.judge(told(1)) == (0, 1)
    assert feedback.judge(b'{"id": "a", "label": 1}') == (1, 0)
    feedback.remember("b", ["1"])
    with pytest.raises(UnknownAnswerError, match="0 rows"):
        feedback.judge(told(1))


def test_only_so_many_of_the_last_rows_may_be_told():
    feedback = Feedback("v1")
    for _ in range(15):
        feedback.remember("", ["1"] * 10_000)
    with pytest.raises(UnknownAnswerError, match="100000 rows"):
        feedback.judge(told(100_001))


def test_memory_is_bounded():
    feedback = Feedback("v1")
    for number in range(20_000):
        feedback.remember(str(number), ["7"])
    feedback.remember("x" * 300, ["7"])
    assert len(feedback._answers) == 10_000
    with pytest.raises(UnknownAnswerError):
        feedback.judge(b'{"id": "9999", "label": 7}')
    assert feedback.judge(b'{"id": "10000", "label": 7}') == (1, 0)
    for number in range(50):
        feedback.remember(str(number), ["7"] * 10_000)
    assert feedback._labels <= 100_000


def test_the_number_of_labels_is_bounded():
    metrics = Metrics("m", "v")
    metrics.answered([str(number) for number in range(1000)])
    metrics.answered(["5", "5"])
    text = metrics.text().decode()
    assert text.count("topgraft_adapter_answers_total{") == 101
    assert f'label="{OTHER_LABEL}",model="m",version="v"}} 900.0' in text
    assert 'label="5",model="m",version="v"} 3.0' in text


def test_a_label_output_that_is_no_output_breaks_the_contract(start):
    server = start("WrongLabelOutput")
    server.ended()
    error = server.result()["error"]
    assert error["reason"] == "ContractMissing"
    assert (
        "label_output = 'digits' is no output of api() with labels or scores; it has scores, digit." in error["message"]
    )
