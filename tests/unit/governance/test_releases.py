"""Which release counts, why one does not, and the history of all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.releases import named, production, records, standing, waiting

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOOK = {"name": "look", "type": "Manual", "required": True}
APPROVED = [{"check": "look", "by": "ana", "decision": "Approve"}]


def release(number: int, version: str, environment: str = "Production") -> dict[str, Any]:
    return {"number": number, "version": version, "environment": environment}


def model(*releases: dict[str, Any], checks: tuple[Any, ...] = (), status: Any = ()) -> Model:
    meta = {"name": "digits", "namespace": "team", "uid": "m", "creationTimestamp": NOW}
    objective = {"name": "quality", "checks": checks, "releases": releases}
    body = {"metadata": meta, "spec": {"modelTypeId": "t", "objectives": [objective]}, "status": {"objectives": status}}
    return Model.model_validate(body)


def versions(**submissions: Any) -> dict[str, ModelVersion]:
    """Name → spec fields; None: not submitted."""
    made = {}
    for name, fields in submissions.items():
        spec = {"objectives": [{"name": "quality"}]} if fields == "" else fields or {}
        artifact = {"volumes": [{"name": "w", "mountPath": "/w", "configMap": {"name": "w"}}]}
        base = {"modelRef": {"name": "digits"}, "artifact": artifact, "adapter": {"image": "digits:v1"}}
        meta = {"name": name, "namespace": "team", "uid": name, "creationTimestamp": NOW}
        made[name] = ModelVersion.model_validate({"metadata": meta, "spec": {**base, **spec}})
    return made


OF_V1_AND_V2 = versions(v1="", v2="")


@pytest.mark.parametrize(
    ("given", "versions", "current", "reason"),
    [
        (model(), OF_V1_AND_V2, None, None),
        (model(release(1, "v1")), OF_V1_AND_V2, "v1", None),
        (model(release(1, "v1"), release(2, "v2")), OF_V1_AND_V2, "v2", None),
        (model(release(3, "v1"), release(2, "v2")), OF_V1_AND_V2, "v1", None),
        (model(release(1, "v1"), release(2, "v2", "Staging")), OF_V1_AND_V2, "v1", None),
        (model(release(1, "v1", "Staging")), OF_V1_AND_V2, None, None),
        (model(release(1, "v1"), release(2, "v2")), versions(v1="", v2=None), "v1", "NotSubmitted"),
        (model(release(1, "v1"), release(2, "v2")), versions(v1=""), "v1", "VersionNotFound"),
        (model(release(1, "v1")), versions(v1=None), None, "NotSubmitted"),
        (
            model(release(1, "v1")),
            versions(v1={"objectives": [{"name": "quality"}], "channel": "Experimental"}),
            None,
            "ChannelExperimental",
        ),
        (model(release(1, "v1"), checks=(LOOK,)), OF_V1_AND_V2, None, "CheckNotPassed"),
        (model(release(1, "v1"), checks=({**LOOK, "required": False},)), OF_V1_AND_V2, "v1", None),
        (model(release(1, "v1"), checks=({**LOOK, "archived": True},)), OF_V1_AND_V2, "v1", None),
        (
            model(release(1, "v1"), checks=(LOOK,)),
            versions(v1={"objectives": [{"name": "quality", "reviews": APPROVED}]}),
            "v1",
            None,
        ),
    ],
)
def test_what_counts_in_production(
    given: Model, versions: dict[str, ModelVersion], current: str | None, reason: str | None
) -> None:
    found = production(given, versions)
    assert (found.current.version if found.current else None) == current
    assert (found.blocked.reason if found.blocked else None) == reason


def test_staging_follows_the_newest_release_and_asks_for_no_check() -> None:
    given = model(release(1, "v1"), release(2, "v2", "Staging"), checks=(LOOK,))
    found = standing(given, OF_V1_AND_V2, given.spec.objectives[0], "Staging")
    assert found.current is not None
    assert found.current.version == "v2"
    promoted = model(release(1, "v1", "Staging"), release(2, "v2"))
    assert standing(promoted, OF_V1_AND_V2, promoted.spec.objectives[0], "Staging").current == found.current.model_copy(
        update={"environment": "Production"}
    )


def history(given: Model, versions: dict[str, ModelVersion], hours: int = 0) -> list[Any]:
    return [record.wire() for record in records(given, versions, NOW + timedelta(hours=hours))]


def told(status: list[Any]) -> list[tuple[Any, ...]]:
    return [(e["number"], e["environment"], "endTime" in e) for e in status[0]["history"]]


def test_the_history_of_releases() -> None:
    staged = [release(1, "v1", "Staging")]
    status = history(model(*staged), OF_V1_AND_V2)
    assert told(status) == [(1, "Staging", False)]
    promoted = [release(1, "v1")]
    status = history(model(*promoted, status=status), OF_V1_AND_V2, 1)
    assert (status[0]["production"], status[0]["staging"]) == (1, 1)
    assert told(status) == [(1, "Production", False), (1, "Staging", False)]
    status = history(model(*promoted, release(2, "v2"), status=status), OF_V1_AND_V2, 2)
    assert told(status) == [(2, "Production", False), (1, "Production", True), (1, "Staging", True)]
    back = history(model(*promoted, status=status), OF_V1_AND_V2, 3)
    assert told(back)[:3] == [(1, "Production", False), (2, "Production", True), (1, "Production", True)]
    assert history(model(*promoted, status=back), OF_V1_AND_V2, 4) == back


def test_the_history_stays_when_the_objective_goes() -> None:
    status = history(model(release(1, "v1")), OF_V1_AND_V2)
    bare = model(status=status)
    gone = bare.model_copy(update={"spec": bare.spec.model_copy(update={"objectives": ()})})
    assert told(history(gone, OF_V1_AND_V2, 1)) == [(1, "Production", True)]


def test_what_was_released_once_stays_released_whatever_is_said_later() -> None:
    given = (release(1, "v1"), release(2, "v2"))
    approved = {"objectives": [{"name": "quality", "reviews": APPROVED}]}
    status = history(model(*given, checks=(LOOK,)), versions(v1=approved, v2=approved))
    after = model(*given, checks=(LOOK,), status=status)
    for withdrawn in (versions(v1=None, v2=None), versions(v1="", v2=""), {}):
        found = production(after, withdrawn)
        assert found.current is not None
        assert (found.current.version, found.blocked) == ("v2", None)
    another = model(release(1, "v1"), release(2, "v3"), checks=(LOOK,), status=status)
    assert production(another, versions(v1="", v3="")).blocked is not None


def test_what_is_in_force_is_never_forgotten() -> None:
    status: list[Any] = []
    for number in range(2, 200):
        given = model(release(1, "v1"), release(number, "v2", "Staging"), status=status)
        status = history(given, OF_V1_AND_V2, number)
    assert len(status[0]["history"]) == 64
    assert (1, "Production", False) in told(status)


def test_production_is_told_before_staging() -> None:
    given = model(release(1, "gone"), release(2, "v3", "Staging"))
    found = waiting(given, OF_V1_AND_V2)
    assert found is not None
    assert found.message == (
        "release 1 of objective 'quality' names ModelVersion 'gone', which does not exist: "
        "create it or release another one"
    )


def test_versions_of_releases_are_named() -> None:
    status = history(model(release(1, "v1")), OF_V1_AND_V2)
    assert named(model(release(2, "v2"), status=status)) == {"v1", "v2"}


numbers = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(["v1", "v2"]), st.sampled_from(["Staging", "Production"]))
)


@given(st.lists(numbers, max_size=6))
def test_any_edits_leave_one_release_in_force_and_telling_twice_changes_nothing(edits: list[Any]) -> None:
    status: list[Any] = []
    for hours, edit in enumerate(edits):
        unique = {number: release(number, version, where) for number, version, where in edit}
        given = model(*unique.values(), status=status)
        status = history(given, OF_V1_AND_V2, hours)
        assert history(model(*unique.values(), status=status), OF_V1_AND_V2, hours + 1) == status
        in_force = [e["environment"] for record in status for e in record["history"] if "endTime" not in e]
        assert len(in_force) == len(set(in_force))
        production_numbers = [r["number"] for r in unique.values() if r["environment"] == "Production"]
        assert (status[0].get("production") if status else None) == max(production_numbers, default=None)
