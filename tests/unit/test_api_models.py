"""The pydantic models: frozen, camelCase on the wire, forgiving about what they do not know."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.meta import KubernetesObject
from topgraft.api.model import Model, Rollout
from topgraft.api.modelversion import ModelVersion
from topgraft.api.pod import RESERVED_ENV
from topgraft.api.wire import immutable

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = ROOT / "tests/objects"
KINDS: dict[str, type[KubernetesObject]] = {
    "Model": Model,
    "ModelVersion": ModelVersion,
    "AdapterUpgrade": AdapterUpgrade,
}


def from_cluster(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((OBJECTS / f"{name}.yaml").read_text())
    body["metadata"] |= {"namespace": "n", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z", "generation": 1}
    return body


@pytest.mark.parametrize("name", ["model", "modelversion", "adapterupgrade"])
def test_what_was_read_is_written_back_the_same(name: str) -> None:
    body = from_cluster(name)
    read = KINDS[body["kind"]].model_validate(body)
    assert read.wire() == body


def test_an_unknown_field_is_ignored() -> None:
    body = from_cluster("model")
    body["spec"]["fromTheFuture"] = {"a": 1}
    body["metadata"]["managedFields"] = []
    assert "fromTheFuture" not in Model.model_validate(body).wire()["spec"]


def test_an_object_of_a_list_may_lack_kind_and_status() -> None:
    body = from_cluster("model")
    del body["kind"], body["apiVersion"]
    read = Model.model_validate(body)
    assert (read.kind, read.api_version) == ("Model", "topgraft.dev/v1alpha1")
    assert read.status.observed_generation == -1


def test_defaults_are_there_without_the_api_server() -> None:
    body = from_cluster("model")
    body["spec"] = {"modelTypeId": "x"}
    spec = Model.model_validate(body).spec
    assert (spec.serving.replicas, spec.serving.ports[0].port, spec.serving.probes.readiness_path) == (
        1,
        8080,
        "/v2/health/ready",
    )
    assert (spec.strategy.progress_deadline_seconds, spec.strategy.fail_fast_seconds) == (600, 20)
    assert (spec.rollback.bake_seconds, spec.rollback.standby_seconds, spec.rollback.standby_replicas) == (60, 600, 1)


def test_no_ports_mean_the_default_port() -> None:
    body = from_cluster("model")
    body["spec"]["serving"]["ports"] = []
    assert [(port.name, port.port) for port in Model.model_validate(body).spec.serving.ports] == [("http", 8080)]


def test_an_object_cannot_be_changed() -> None:
    read = Model.model_validate(from_cluster("model"))
    with pytest.raises(ValidationError, match="frozen"):
        read.spec = read.spec  # type: ignore[misc]


def test_from_is_a_field_though_python_keeps_the_word() -> None:
    rollout = Rollout(attempt_hash="h", from_="a", to="b", start_time=datetime(2026, 1, 1, tzinfo=UTC), step="Bake")
    assert rollout.wire()["from"] == "a"
    assert Rollout.model_validate(rollout.wire()) == rollout


def test_the_rule_of_an_immutable_field_covers_unset_and_set_later() -> None:
    rule = immutable("AdapterUpgrade", "modelRef")
    assert rule.rule.startswith("has(self.modelRef) == has(oldSelf.modelRef) && ")
    assert rule.message == "spec.modelRef is immutable on an AdapterUpgrade: create a new AdapterUpgrade instead"


def test_every_variable_that_the_operator_sets_is_reserved_and_told() -> None:
    """A user's value would take its place: the later of one name wins."""
    sources = (ROOT / "operator/topgraft/rollout").glob("*.py")
    sets = {name for path in sources for name in re.findall("TOPGRAFT_[A-Z_]+", path.read_text())}
    assert sets == set(RESERVED_ENV)
    told = (ROOT / "sdk/README.md").read_text().partition("What the operator sets")[2].partition("\n\n")[0]
    assert set(re.findall("TOPGRAFT_[A-Z_]+", told)) == sets
