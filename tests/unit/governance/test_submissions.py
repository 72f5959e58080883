"""How the checks of a submission stand, and who has to submit again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.submissions import submissions, submitted, to_resubmit

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = {"name": "accuracy", "min": "0.95"}


def model(*checks: dict[str, Any]) -> Model:
    meta = {"name": "digits", "namespace": "team", "uid": "m", "creationTimestamp": NOW}
    spec = {"modelTypeId": "classifier", "objectives": [{"name": "quality", "checks": checks}]}
    return Model.model_validate({"metadata": meta, "spec": spec})


def version(name: str = "digits-1", age: int = 0, **spec: Any) -> ModelVersion:
    made = NOW - timedelta(seconds=age)
    meta = {"name": name, "namespace": "team", "uid": name, "creationTimestamp": made}
    artifact = {"volumes": [{"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}]}
    given = {"modelRef": {"name": "digits"}, "artifact": artifact, "adapter": {"image": "digits:v1"}, **spec}
    status = given.pop("status", {})
    return ModelVersion.model_validate({"metadata": meta, "spec": given, "status": status})


def review(by: str, decision: str, check: str = "look") -> dict[str, str]:
    return {"check": check, "by": by, "decision": decision}


@pytest.mark.parametrize(
    ("reviews", "approvers", "state"),
    [
        ((), (), "Pending"),
        ((review("ana", "Approve"),), (), "Passed"),
        ((review("ana", "Reject"),), (), "Rejected"),
        ((review("ana", "Comment"),), (), "Pending"),
        ((review("ana", "Reject"), review("bo", "Approve")), (), "Passed"),
        ((review("ana", "Approve"),), ("bo",), "Pending"),
        ((review("ana", "Reject"), review("bo", "Approve")), ("bo",), "Passed"),
        ((review("ana", "Approve"), review("bo", "Reject")), ("bo",), "Rejected"),
        ((review("ana", "Approve", "other"),), (), "Pending"),
    ],
)
def test_a_check_by_people_stands_as_the_last_word_of_the_approvers(
    reviews: tuple[Any, ...], approvers: tuple[str, ...], state: str
) -> None:
    check = {"name": "look", "type": "Manual", "approvers": approvers}
    asked = version(objectives=[{"name": "quality", "reviews": reviews}])
    (record,) = submissions(model(check), asked, (), NOW)
    assert [(c.name, c.state) for c in record.checks] == [("look", state)]


@pytest.mark.parametrize(
    ("metric", "given", "state"),
    [
        (GOOD, {"accuracy": "0.96"}, "Passed"),
        (GOOD, {"accuracy": "0.95"}, "Passed"),
        (GOOD, {"accuracy": "0.9499999"}, "Rejected"),
        (GOOD, {}, "Rejected"),
        (GOOD, {"accuracy": "high"}, "Rejected"),
        (GOOD, {"accuracy": "nan"}, "Rejected"),
        (GOOD, {"accuracy": "inf"}, "Rejected"),
        (GOOD, {"accuracy": "1" * 4096}, "Rejected"),
        (GOOD, {"accuracy": "1e999999999"}, "Rejected"),
        ({"name": "loss", "max": "0.1"}, {"loss": "1e-1"}, "Passed"),
        ({"name": "loss", "max": "0.1"}, {"loss": "0.11"}, "Rejected"),
        ({"name": "bias", "min": "-0.5", "max": "0.5"}, {"bias": " -0.5 "}, "Passed"),
        ({"name": "bias", "min": "-0.5", "max": "0.5"}, {"bias": "-0.6"}, "Rejected"),
    ],
)
@pytest.mark.parametrize("place", ["metrics", "metadata"])
def test_a_check_by_a_metric_passes_within_its_bounds_and_else_rejects(
    metric: dict[str, str], given: dict[str, str], state: str, place: str
) -> None:
    check = {"name": "good", "type": "Metric", "metric": metric}
    own = {"metrics": given} if place == "metrics" else {}
    asked = version(objectives=[{"name": "quality", **own}], metadata=given if place == "metadata" else {})
    (record,) = submissions(model(check), asked, (), NOW)
    assert [(c.state, bool(c.message)) for c in record.checks] == [(state, True)]


def test_the_submissions_own_figure_counts_before_the_versions() -> None:
    check = {"name": "good", "type": "Metric", "metric": GOOD}
    asked = version(objectives=[{"name": "quality", "metrics": {"accuracy": "0.5"}}], metadata={"accuracy": "0.99"})
    (record,) = submissions(model(check), asked, (), NOW)
    assert record.checks[0].state == "Rejected"


def test_the_figure_of_a_version_that_failed_is_pending() -> None:
    check = {"name": "good", "type": "Metric", "metric": GOOD}
    failure = {"attemptHash": "a", "reason": "LoadFailed", "time": NOW}
    asked = version(objectives=[{"name": "quality", "metrics": {"accuracy": "0.99"}}], status={"failure": failure})
    (record,) = submissions(model(check), asked, (), NOW)
    assert record.checks[0].state == "Pending"
    assert "LoadFailed" in (record.checks[0].message or "")


def test_the_figure_of_a_version_that_is_not_trained_is_pending() -> None:
    check = {"name": "good", "type": "Metric", "metric": GOOD}
    job = {"image": "train:v1"}
    asked = version(objectives=[{"name": "quality", "metrics": {"accuracy": "0.99"}}], trainInfo={"job": job})
    (record,) = submissions(model(check), asked, (), NOW)
    assert record.checks[0].state == "Pending"


def later(asked: ModelVersion, records: list[Any], **spec: Any) -> ModelVersion:
    """The same version with what was told of it, edited."""
    return version(asked.metadata.name, status={"submissions": [r.wire() for r in records]}, **spec)


def test_a_withdrawn_submission_keeps_its_history_and_a_released_one_stays() -> None:
    check = {"name": "look", "type": "Manual"}
    asked = version(objectives=[{"name": "quality", "reviews": [review("ana", "Approve")]}])
    told = submissions(model(check), asked, (), NOW)
    for withdrawn in ({}, {"objectives": [{"name": "quality", "archived": True}]}):
        after = later(asked, told, **withdrawn)
        (record,) = submissions(model(check), after, (), NOW + timedelta(hours=1))
        assert (record.state, record.time) == ("Archived", NOW)
        assert [(c.name, c.state) for c in record.checks] == [("look", "Passed")]
        (record,) = submissions(model(check), after, {"quality"}, NOW)
        assert record.state == "Released"
        assert "cannot be archived" in (record.message or "")


def test_an_archived_check_keeps_what_it_said() -> None:
    look, see = {"name": "look", "type": "Manual"}, {"name": "see", "type": "Manual"}
    asked = version(objectives=[{"name": "quality", "reviews": [review("ana", "Reject")]}])
    told = submissions(model(look, see), asked, (), NOW)
    again = later(asked, told, objectives=[{"name": "quality", "reviews": [review("ana", "Approve")]}])
    archived = {**look, "archived": True}
    for checks in ((archived, see), (see,)):
        (record,) = submissions(model(*checks), again, (), NOW)
        said = {c.name: (c.state, c.archived) for c in record.checks}
        assert said == {"look": ("Rejected", True), "see": ("Pending", None)}
    (record,) = submissions(model(archived), version(objectives=[{"name": "quality"}]), (), NOW)
    assert record.checks == ()


def test_an_objective_that_does_not_exist_is_named() -> None:
    (record,) = submissions(model(), version(objectives=[{"name": "speed"}]), (), NOW)
    assert "no objective 'speed'" in (record.message or "")


def test_the_record_is_bounded_and_drops_what_was_withdrawn_first() -> None:
    asked = version(objectives=[{"name": f"a{i}"} for i in range(8)])
    old = [{"name": f"z{i}", "state": "Archived", "time": NOW + timedelta(seconds=i)} for i in range(16)]
    told = submissions(model(), version(objectives=asked.spec.objectives, status={"submissions": old}), (), NOW)
    assert [record.name for record in told] == sorted([f"a{i}" for i in range(8)] + [f"z{i}" for i in range(8, 16)])


TO = {"objectives": [{"name": "quality"}]}


@pytest.mark.parametrize(
    ("others", "spec", "missing"),
    [
        ([version("base", 9)], {}, {}),
        ([version("base", 9, **TO)], {}, {"quality": "base"}),
        ([version("base", 9, **TO)], TO, {}),
        ([version("base", 9, objectives=[{"name": "quality", "archived": True}])], {}, {}),
        # Declined on purpose counts as an answer.
        ([version("base", 9, **TO)], {"objectives": [{"name": "quality", "archived": True}]}, {}),
        ([version("base", 9), version("first", 5, parentVersion="base", **TO)], {}, {"quality": "first"}),
        ([version("base", 9), version("newer", -5, parentVersion="base", **TO)], {}, {}),
        ([version("other", 9, **TO)], {}, {}),
    ],
)
def test_who_has_to_submit_again(others: list[ModelVersion], spec: dict[str, Any], missing: dict[str, str]) -> None:
    upgraded = version("upgraded", parentVersion="base", **spec)
    assert to_resubmit(upgraded, submitted([*others, upgraded])) == missing


def test_a_version_without_parent_never_has_to() -> None:
    base = version("base", 9, **TO)
    assert to_resubmit(version("new"), submitted([base])) == {}
