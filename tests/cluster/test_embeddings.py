"""Real pre-trained weights in an OCI image: the runtime's bug is mended on real pods, the weights stay as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import cluster
import pytest
from localcluster import registry
from support.live import REGISTRY, ROOT, Body
from support.stage import STEADY_SECONDS, Stage, model, open_stage, upgrade, version

sys.path.insert(0, str(ROOT / "examples/embeddings"))
import client

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(cluster.choose().name != "local", reason="the digest of the weights is the local registry's"),
]
IMAGE = f"{REGISTRY}/text-embedder"
RESOURCES = {"requests": {"cpu": "10m", "memory": "300Mi"}, "limits": {"memory": "1Gi"}}
SECONDS = 300


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    adapter = {"image": f"{IMAGE}:v1", "module": "text_embedder", "className": "TextEmbedder"}
    volume = {"image": {"reference": f"{REGISTRY}/minilm@{registry.digest('minilm:1')}"}}
    serving: Body = {"resources": RESOURCES, "probes": {"startupSeconds": SECONDS}}
    with open_stage(tmp_path_factory.mktemp("embeddings")) as made:
        made.kubectl.apply(model("minilm", serving=serving), version("minilm", volume=volume, adapter=adapter))
        yield made


def _asked(stage: Stage) -> tuple[str, bool]:
    """Which version answered, and whether it found the right text; "" for none: kube-proxy is behind the Service."""
    address = stage.watched.live("Service", "minilm")["spec"]["clusterIP"]
    texts = (client.QUESTION, client.ANSWER, client.OTHER)
    try:
        said, (question, answer, other) = client.embed(f"http://{address}:8080", *texts)
    except OSError:
        return "", False
    return said, client.likeness(question, answer) > client.likeness(question, other)


def _digest(stage: Stage, name: str) -> str:
    told: Any = stage.until(
        "minilm",
        lambda _: stage.watched.live("ModelVersion", name).get("status", {}).get("artifact"),
        STEADY_SECONDS,
        f"the digest of {name}",
    )
    return str(told["digest"])


def test_the_bug_goes_and_the_weights_stay(stage: Stage) -> None:
    assert stage.until_serves("minilm", SECONDS) == "minilm-1"
    stage.until("minilm", lambda _: _asked(stage) == ("minilm-1", False), STEADY_SECONDS, "v1 answers, and wrong")
    stage.kubectl.apply(upgrade("minilm", f"{IMAGE}:v2"))
    name = stage.until_ready("AdapterUpgrade", "minilm", "True", "UpgradeSucceeded", SECONDS)["status"]["toVersion"]
    stage.until("minilm", lambda _: _asked(stage) == (name, True), STEADY_SECONDS, "the new version answers, and right")
    assert _digest(stage, name) == _digest(stage, "minilm-1")
    made, parent = (stage.watched.live("ModelVersion", each)["spec"]["artifact"] for each in (name, "minilm-1"))
    assert made == parent
