"""Sources, packages and targets on real pods and against the cluster's own registry: the cases 4, 5 and 6."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from support.live import REGISTRY
from support.stage import STEADY_SECONDS, Stage, condition, message, model, open_stage, targeted, upgrade, version
from support.tagged import PODS, tag

pytestmark = pytest.mark.skipif(
    os.environ.get("CLUSTER", "local") != "local", reason="tags are pushed to the local cluster's registry"
)
COMMIT = "3f2a9c1d"
TAGS = {"v1.0.0": "v1", "v1.1.0": "v2", "v2.0.0-rc.1": "v3", COMMIT: "v5"}
"""No release has the commit's image."""


@pytest.fixture(scope="module")
def repository() -> str:
    name = f"targets-{secrets.token_hex(4)}"
    tag(name, TAGS)
    return name


@pytest.fixture(scope="module")
def stage(crds: None, repository: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("targets"), "--registry", f"{REGISTRY}={PODS}") as made:
        yield made


@pytest.fixture(scope="module")
def ordered(stage: Stage, repository: str) -> None:
    """All Models at once: what is looked up, what is refused by its source, what is refused by its packages."""
    first = {"image": f"{REGISTRY}/{repository}:v1.0.0"}
    for name in ("latest", "untagged", "external"):
        source = {"source": {"type": "ExternalModel"}} if name == "external" else {}
        stage.kubectl.apply(model(name, publishPolicy="TagOnly"), version(name, adapter=first, **source))
    stage.kubectl.apply(model("packages"), _needing("numpy>=1", "topgraft-adapter"))
    for name in ("latest", "untagged", "external"):
        stage.until_serves(name)
    stage.until_serves("packages")
    stage.kubectl.apply(targeted("latest", latest=True), targeted("untagged", commit=COMMIT), upgrade("external", "v2"))
    stage.kubectl.apply(_needing("numpy<1", number=2))


def _needing(*compatibility: str, number: int = 1) -> dict[str, Any]:
    body = version("packages", number=number)
    body["spec"]["artifact"]["compatibility"] = list(compatibility)
    return body


def test_the_newest_release_is_found_in_the_registry_and_runs_by_digest(
    stage: Stage, repository: str, ordered: None
) -> None:
    body = stage.until_ready("AdapterUpgrade", "latest", "True", "UpgradeSucceeded")
    found = body["status"]["resolved"]
    assert found["tag"] == "v1.1.0", "neither the pre-release nor the newer commit"
    image = stage.watched.live("ModelVersion", body["status"]["toVersion"])["spec"]["adapter"]["image"]
    assert image == f"{REGISTRY}/{repository}:v1.1.0@{found['digest']}"
    assert stage.serving("latest") == body["status"]["toVersion"]


def test_a_later_tag_changes_nothing(stage: Stage, repository: str, ordered: None) -> None:
    before = stage.until_ready("AdapterUpgrade", "latest", "True", "UpgradeSucceeded")["status"]["resolved"]
    tag(repository, {"v1.2.0": "v3"})
    stage.kubectl("annotate", "adapterupgrade", "latest", "example.com/touched=yes")
    stage.until_ready("AdapterUpgrade", "latest", "True", "UpgradeSucceeded")
    assert stage.watched.live("AdapterUpgrade", "latest")["status"]["resolved"] == before
    assert stage.watched.all("Pod", model="latest", role="resolve")[-1][-1].gone


def test_an_untagged_commit_is_not_picked(stage: Stage, ordered: None) -> None:
    body = stage.until_ready("AdapterUpgrade", "untagged", "False", "CommitNotTagged")
    assert condition(body, "Accepted") == ("False", "CommitNotTagged")
    assert f"has commit {COMMIT}" in message(body)
    assert stage.selected("untagged") == ["untagged-1"]


def test_a_source_that_does_not_upgrade(stage: Stage, ordered: None) -> None:
    body = stage.until_ready("AdapterUpgrade", "external", "False", "SourceNotUpgradable")
    assert condition(body, "Accepted") == ("False", "SourceNotUpgradable")
    assert stage.selected("external") == ["external-1"]
    pods = [states[-1].body["metadata"]["labels"] for states in stage.watched.all("Pod", model="external")]
    assert {labels["topgraft.dev/version"] for labels in pods} == {"external-1"}, "no pod of the new image"


def test_packages_that_do_not_fit(stage: Stage, ordered: None) -> None:
    def refused(_: str) -> bool:
        return stage.failures("packages") == {"packages-2": "DependencyConflict"}

    stage.until("packages", refused, STEADY_SECONDS, "packages-2 is refused")
    text = message(stage.watched.live("ModelVersion", "packages-2"))
    assert "numpy<1 is asked for, 2." in text
    assert stage.selected("packages") == ["packages-1"]
    told = stage.watched.live("ModelVersion", "packages-1")["status"]["requirements"]
    assert any(line.startswith("numpy==") for line in told)
