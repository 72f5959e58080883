"""Content that must not serve: refused before any traffic moves, remembered, tried again only when told to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.live import OPERATOR_IMAGE, Body
from support.stage import FAIL_FAST_SECONDS, RETRY_AT, STEADY_SECONDS, Stage, condition, message, model, open_stage
from support.stage import upgrade as upgrade_of
from support.stage import version as version_of


@dataclass(frozen=True)
class Case:
    """One bad upgrade of a Model of its own. `starts` says whether a pod is needed to find out."""

    name: str
    tag: str
    reason: str
    starts: bool = True
    spec: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("crash", "v4", "LoadFailed"),
    Case("class", "v5", "ClassMismatch"),
    Case("missing", "no-such-tag", "ImageNotFound"),
    Case("repository", OPERATOR_IMAGE, "AdapterRepositoryChanged", starts=False),
    Case("no-adapter", OPERATOR_IMAGE, "ContractMissing", spec={"allowRepositoryChange": True}),
)
ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("refused")) as made:
        yield made


@pytest.fixture(scope="module")
def served(stage: Stage) -> float:
    """Every Model is served by v2 and probed; returns when that began."""
    stage.kubectl.apply(*(body for case in CASES for body in (model(case.name), version_of(case.name))))
    for case in CASES:
        assert stage.until_serves(case.name) == f"{case.name}-1"
    return stage.probe(*(case.name for case in CASES))


@pytest.fixture(scope="module")
def ordered(stage: Stage, served: float) -> float:
    """All bad upgrades at once; returns when."""
    now = time.monotonic()
    stage.kubectl.apply(*(upgrade_of(case.name, case.tag, **case.spec) for case in CASES))
    return now


@pytest.fixture(scope="module")
def ordered_again(stage: Stage, ordered: float) -> float:
    """Deleted and made anew; returns when the new ones said that they had failed."""
    for case in CASES:
        stage.until_ready("AdapterUpgrade", case.name, "False", case.reason)
    stage.watched.until(lambda: not _candidates(stage), STEADY_SECONDS, "the candidates' pods and Deployments are gone")
    stage.kubectl("delete", "adapterupgrades", "--all", "--wait=true")
    began = time.monotonic()
    for case in CASES:
        stage.until(case.name, lambda name: _ungoverned(stage, name), STEADY_SECONDS, "Ungoverned is said")
    stage.kubectl.apply(*(upgrade_of(case.name, case.tag, **case.spec) for case in CASES))
    for case in CASES:
        stage.until_ready("AdapterUpgrade", case.name, "False", case.reason)
    time.sleep(2)
    return began


def _ungoverned(stage: Stage, name: str) -> bool:
    return condition(stage.watched.live("Model", name), "Ungoverned")[0] == "True"


def _candidates(stage: Stage) -> list[str]:
    """Live Deployments and preflight pods that are not of the first versions."""
    return [
        states[-1].body["metadata"]["name"]
        for kind in ("Deployment", "Pod")
        for states in stage.watched.all(kind)
        if not states[-1].gone and not states[-1].body["metadata"]["labels"]["topgraft.dev/version"].endswith("-1")
    ]


@ALL
def test_the_upgrade_and_the_version_tell_the_reason(stage: Stage, ordered: float, case: Case) -> None:
    body = stage.until_ready("AdapterUpgrade", case.name, "False", case.reason)
    assert condition(body, "Stalled") == ("True", case.reason), stage.story(case.name)
    assert condition(body, "RolledBack") == ("True", case.reason)
    assert condition(body, "Succeeded") == ("False", case.reason)
    assert f"{case.name}-1 serves" in message(body)
    assert RETRY_AT in message(body)
    candidate = body["status"]["toVersion"]
    assert stage.failures(case.name) == {candidate: case.reason}
    assert condition(stage.watched.live("ModelVersion", candidate)) == ("False", case.reason)
    assert condition(stage.watched.live("Model", case.name), "Available")[0] == "True"


@ALL
def test_no_traffic_moved_and_the_old_version_always_answered(stage: Stage, ordered: float, case: Case) -> None:
    stage.until_ready("AdapterUpgrade", case.name, "False", case.reason)
    assert stage.selected(case.name) == [f"{case.name}-1"]
    assert stage.unanswered(case.name, f"{case.name}-1", ordered) == []
    assert len(stage.probes.answers(case.name, ordered)) > 0


def test_a_missing_tag_is_refused_within_its_time(stage: Stage, ordered: float) -> None:
    """Counted from when the kubelet told it: before that nobody knows."""
    stage.until_ready("AdapterUpgrade", "missing", "False", "ImageNotFound")
    pods = stage.watched.all("Pod", since=ordered, model="missing", role="preflight")
    missed = min(seen.at for states in pods for seen in states if _waits_for_its_image(seen.body))
    states = stage.watched.states("AdapterUpgrade", "missing", ordered)
    told = next(seen.at for seen in states if condition(seen.body)[0] == "False")
    print(
        f"missing tag: refused {told - missed:.1f} s after the kubelet missed it, {told - ordered:.1f} s after the "
        f"order; failFastSeconds is {FAIL_FAST_SECONDS}"
    )
    assert told - missed <= FAIL_FAST_SECONDS + 5


def _waits_for_its_image(pod: Body) -> bool:
    states = [status["state"] for status in pod["status"].get("containerStatuses", [])]
    return any(state.get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff") for state in states)


@ALL
def test_pods_are_made_only_where_they_are_needed_to_find_out(stage: Stage, ordered: float, case: Case) -> None:
    body = stage.until_ready("AdapterUpgrade", case.name, "False", case.reason)
    started = stage.watched.all("Pod", model=case.name, version=body["status"]["toVersion"])
    assert bool(started) is case.starts


@ALL
def test_the_same_upgrade_made_again_is_not_tried_again(stage: Stage, ordered_again: float, case: Case) -> None:
    since = ordered_again
    candidate = stage.watched.live("AdapterUpgrade", case.name)["status"]["toVersion"]
    for kind in ("Pod", "Deployment"):
        assert stage.watched.all(kind, since=since, model=case.name, version=candidate) == [], kind
    assert stage.watched.states("Service", case.name, since) == []
    assert stage.unanswered(case.name, f"{case.name}-1", since) == []


def test_a_retry_token_tries_again(stage: Stage, ordered_again: float) -> None:
    before = {name: stage.watched.live("AdapterUpgrade", name)["status"]["attemptHash"] for name in ("crash", "class")}
    began = time.monotonic()
    stage.kubectl("annotate", "adapterupgrade", *before, f"{RETRY_AT}=once-more")
    reasons = {case.name: case.reason for case in CASES}

    def started(name: str) -> bool:
        return bool(stage.watched.all("Pod", since=began, model=name, role="preflight"))

    def refused(name: str) -> bool:
        other = stage.watched.live("AdapterUpgrade", name)["status"].get("attemptHash") != before[name]
        return other and stage.ready("AdapterUpgrade", name) == ("False", reasons[name])

    for name in before:
        stage.until(name, started, STEADY_SECONDS, "a new preflight")
        stage.until(name, refused, STEADY_SECONDS, "refused under another attempt")
        assert stage.watched.live("AdapterUpgrade", name)["status"]["lastHandledRetryAt"] == "once-more"
        assert stage.unanswered(name, f"{name}-1", began) == []


@pytest.mark.skipif(os.environ.get("CLUSTER", "local") != "local", reason="node and tests share no file system")
def test_an_artifact_changed_by_a_byte_is_refused_until_it_is_mended(
    stage: Stage, served: float, local_claim: Path
) -> None:
    name, file = "byte", local_claim / "weights.npz"
    volume = {"persistentVolumeClaim": {"claimName": "weights"}}
    stage.kubectl.apply(model(name), version_of(name, "v1", volume=volume))
    stage.until_serves(name)
    began = stage.probe(name)
    good = file.read_bytes()
    # A byte behind the archive's end: numpy reads the weights as before.
    file.write_bytes(good + b"\0")
    stage.kubectl.apply(upgrade_of(name, "v2"))
    body = stage.until_ready("AdapterUpgrade", name, "False", "ArtifactsChanged")
    assert condition(body, "ArtifactsUnchanged") == ("False", "ArtifactsChanged")
    assert stage.failures(name) == {body["status"]["toVersion"]: "ArtifactsChanged"}
    assert stage.selected(name) == [f"{name}-1"]
    assert stage.unanswered(name, f"{name}-1", began) == []
    file.write_bytes(good)
    stage.kubectl("annotate", "adapterupgrade", name, f"{RETRY_AT}=files-restored")
    body = stage.until_ready("AdapterUpgrade", name, "True", "UpgradeSucceeded")
    assert body["status"]["artifact"]["before"] == body["status"]["artifact"]["after"]
    assert stage.failures(name) == {}
    assert stage.serving(name) == body["status"]["toVersion"]


@pytest.fixture
def local_claim(stage: Stage, tmp_path: Path) -> Iterator[Path]:
    """A directory of this machine with the weights, claimed as `weights`."""
    root = Path(__file__).resolve().parents[2]
    directory = tmp_path / "weights"
    directory.mkdir()
    for folder in (directory, *list(directory.parents)[:3]):
        folder.chmod(0o755)
    (directory / "weights.npz").write_bytes((root / "examples/digits/weights.npz").read_bytes())
    common: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": "by-hand"}
    volume = f"{stage.namespace}-weights"
    stage.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(directory)}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "weights"},
            "spec": {**common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": volume},
        },
    )
    yield directory
    stage.kubectl("delete", "persistentvolume", volume, "--wait=false")
