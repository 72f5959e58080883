"""The operator's process against the real API server, with what can go wrong between the two."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_objects import minimal
from faults import FaultyApi, HurriedOperator
from kubernetes import client
from support.live import Body, Kubectl, Operator, wait_until

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def live(namespace: str) -> Kubectl:
    return Kubectl(namespace)


@pytest.fixture
def faulty(api_client: client.ApiClient) -> Iterator[FaultyApi]:
    with FaultyApi(api_client.configuration).running() as api:
        yield api


def model(**spec: object) -> Body:
    body = minimal("Model")
    return {**body, "spec": {**body["spec"], "serving": {"nodeSelector": {"no": "such-node"}}, **spec}}


def version() -> Body:
    """One that needs no tag resolved, so that its Deployment is made at once; no node takes its pods."""
    body = minimal("ModelVersion", "digits-1")
    return {**body, "spec": {**body["spec"], "adapter": {"image": f"registry.example/digits:v1@{DIGEST}"}}}


def handled(live: Kubectl) -> bool:
    body = live.get("model", "digits")
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def healthy(operator: Operator) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/healthz", timeout=2).status == 200)
    except urllib.error.HTTPError:
        return False


def start(api: FaultyApi, namespace: str, folder: Path, *options: str, **hurry: float) -> Iterator[Operator]:
    operator = HurriedOperator(api, namespace, folder, *options, **hurry)
    yield operator.start()
    operator.stop()


@pytest.fixture
def operator(faulty: FaultyApi, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    yield from start(faulty, namespace, tmp_path)


@pytest.fixture
def resyncing(faulty: FaultyApi, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    yield from start(faulty, namespace, tmp_path, resync=4)


@pytest.fixture
def impatient(faulty: FaultyApi, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    yield from start(faulty, namespace, tmp_path, patience=3)


@pytest.fixture
def one_at_a_time(faulty: FaultyApi, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    yield from start(faulty, namespace, tmp_path, "--max-concurrent-rollouts=1")


def test_an_edit_after_a_dropped_watch_is_seen(live: Kubectl, operator: Operator, faulty: FaultyApi) -> None:
    live.apply(model())
    wait_until(lambda: handled(live), 10, "the Model is looked at")
    for number in range(3):
        faulty.cut()
        live.apply(model(description=f"edit {number}"))
        wait_until(lambda: handled(live), 10, "the edit is seen over a new watch")
    assert healthy(operator)


def test_an_api_server_that_goes_away_and_comes_back_finds_the_same_operator_at_work(
    live: Kubectl, operator: Operator, faulty: FaultyApi
) -> None:
    live.apply(model())
    wait_until(lambda: handled(live), 10, "the Model is looked at")
    faulty.down = True
    faulty.cut()
    time.sleep(12)  # longer than a leader may go on without renewing
    live.apply(model(description="edited meanwhile"))
    assert operator.running(), operator.tail()
    assert healthy(operator)
    faulty.down = False
    wait_until(lambda: handled(live), 30, "the edit is seen once the API server is back")
    assert operator.running(), operator.tail()


def test_a_lost_deletion_is_repaired_by_the_resync(live: Kubectl, resyncing: Operator, faulty: FaultyApi) -> None:
    live.apply(model(), version())
    before = wait_until(lambda: live.get("deployment", "digits-1"), 15, "the version's Deployment is made")
    faulty.hidden.add("digits-1")
    live("delete", "deployment", "digits-1")
    after = wait_until(lambda: live.get("deployment", "digits-1"), 20, "the Deployment is made again")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    # The resync counts when it has been through every kind; the Deployment does not wait for that.
    wait_until(lambda: "topgraft_resync_repairs_total 0.0" not in resyncing.metrics(), 15, "the repair is counted")


def test_a_watch_that_brings_nothing_any_more_fails_the_liveness_probe(
    live: Kubectl, impatient: Operator, faulty: FaultyApi
) -> None:
    live.apply(model())
    wait_until(lambda: handled(live), 10, "the Model is looked at")
    time.sleep(4)
    assert healthy(impatient), "nothing is owed: silence is fine"
    # The order still comes; what is written for it never comes back.
    faulty.only = "modelversions"
    live.apply(version())
    wait_until(lambda: not healthy(impatient), 20, "the probe fails")
    assert impatient.running(), "to end it is the kubelet's part"


def test_without_the_crds_it_dies_with_the_remedy(faulty: FaultyApi, namespace: str, tmp_path: Path) -> None:
    operator = HurriedOperator(faulty, namespace, tmp_path)
    faulty.missing = "/apis/topgraft.dev/v1alpha1"
    operator.start(seconds=0)
    assert operator.wait(60) == 1
    assert "models.topgraft.dev/v1alpha1" in operator.tail()
    assert "kubectl apply --server-side -f crds/" in operator.tail()


def test_a_quota_that_is_full_is_told_once_and_the_work_goes_on_when_it_is_not(
    live: Kubectl, operator: Operator
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    live.apply(quota)
    wait_until(lambda: live.get("resourcequota", "none").get("status", {}).get("hard"), 15, "the quota is in force")
    body = minimal("ModelVersion", "digits-1")
    live.apply(model(), body)
    ready = wait_until(
        lambda: (said := live.condition("model", "digits", "Ready")).get("reason") == "QuotaExceeded" and said,
        15,
        "the Model tells of the quota",
    )
    assert "exceeded quota: none" in ready["message"]
    before = live.get("model", "digits")["metadata"]["resourceVersion"]
    time.sleep(6)
    assert live.get("model", "digits")["metadata"]["resourceVersion"] == before, "each further try says nothing new"
    live("delete", "resourcequota", "none")
    wait_until(lambda: live.get("pod", "digits-1-preflight"), 40, "the preflight is made without an edit")


def test_a_deployment_whose_label_was_taken_away_gets_it_back(live: Kubectl, operator: Operator) -> None:
    live.apply(model(), version())
    before = wait_until(lambda: live.get("deployment", "digits-1"), 15, "the version's Deployment is made")
    live("label", "deployment", "digits-1", "topgraft.dev/model-")
    wait_until(
        lambda: live.get("deployment", "digits-1")["metadata"]["labels"].get("topgraft.dev/model"),
        10,
        "the label is back",
    )
    assert live.get("deployment", "digits-1")["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_deployment_of_somebody_else_is_left_alone(live: Kubectl, operator: Operator) -> None:
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": labels, "template": template}
    live.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "digits-1"}, "spec": spec})
    before = live.get("deployment", "digits-1")["metadata"]["generation"]
    live.apply(model(), version())
    refusal = "NotOwned: Deployment digits-1 exists"
    wait_until(lambda: refusal in operator.tail(), 15, "the operator meets it")
    time.sleep(4)
    assert operator.tail(10_000).count(refusal) == 1, "said once, however often it is tried"
    after = live.get("deployment", "digits-1")["metadata"]
    assert after["generation"] == before
    assert "labels" not in after
    live("delete", "deployment", "digits-1")
    wait_until(
        lambda: live.get("deployment", "digits-1").get("metadata", {}).get("labels"), 40, "it goes on without an edit"
    )


def test_rollouts_beyond_the_limit_wait_for_their_turn(live: Kubectl, one_at_a_time: Operator) -> None:
    def add(name: str) -> None:
        made = version()
        spec = {**made["spec"], "modelRef": {"name": name}}
        live.apply({**model(), "metadata": {"name": name}}, {**made, "metadata": {"name": f"{name}-1"}, "spec": spec})

    def reason(name: str) -> str:
        return str(live.condition("model", name, "Ready").get("reason", ""))

    add("first")
    wait_until(lambda: live.get("model", "first").get("status", {}).get("rollout"), 15, "the first one begins")
    add("second")
    wait_until(lambda: reason("second") == "Queued", 15, "the second one waits")
    add("third")
    wait_until(lambda: reason("third") == "Queued", 15, "the third one waits")
    assert not live.get("deployment", "second-1")
    live("delete", "model", "first")
    wait_until(lambda: live.get("deployment", "second-1"), 20, "the second one's turn")
    assert reason("third") == "Queued"
    assert one_at_a_time.running()
