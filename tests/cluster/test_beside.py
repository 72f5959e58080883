"""Beside an adapter, on real pods: a container that belongs to the artifacts, and credentials of a model elsewhere."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import cluster
import pytest
from localcluster import registry
from support.live import Body
from support.stage import REPOSITORY, STEADY_SECONDS, Stage, model, open_stage, upgrade, version

pytestmark = pytest.mark.skipif(
    cluster.choose().name != "local", reason="the container's digest is the local registry's"
)
TOKEN = "not-a-real-token"
FRONT = """
import http.server, json, os, pathlib, urllib.request

def told():
    if "TOPGRAFT_EXTERNAL" in os.environ:
        external = json.loads(os.environ["TOPGRAFT_EXTERNAL"])
        token = pathlib.Path(external["credentialsDir"], "token").read_text()
        return {"baseUrl": external["baseUrl"], "token": len(token)}
    beside = json.loads(os.environ["TOPGRAFT_CONTAINERS"])
    with urllib.request.urlopen(f"http://{beside['services']['engine'][0]}/", timeout=2) as answer:
        return {"engine": answer.status, "shared": os.listdir(beside["sharedEmptyDirMountPath"])}

class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(told()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", 8080), Front).serve_forever()
"""
STOCK: Body = {"contract": "None", "module": None, "className": None, "command": ["python", "-c", FRONT]}
PROBES: Body = {"readinessPath": "/", "livenessPath": "/"}


def _version(name: str, **artifact: Any) -> Body:
    body = version(name, "v1", adapter=STOCK)
    adapter = {key: value for key, value in body["spec"]["adapter"].items() if value is not None}
    return {**body, "spec": {**body["spec"], "adapter": adapter, "artifact": {**body["spec"]["artifact"], **artifact}}}


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    engine: Body = {
        "name": "engine",
        "image": f"{REPOSITORY}@{registry.digest('digits:v1')}",
        "command": [
            "sh",
            "-c",
            "touch /topgraft/shared/began && exec python -m http.server 9000 --directory /artifacts",
        ],
        "ports": [9000],
        "readinessPath": "/",
    }
    secret: Body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "elsewhere"},
        "stringData": {"token": TOKEN},
    }
    external = {"baseUrl": "https://models.example/v1", "secretRef": {"name": "elsewhere"}}
    with open_stage(tmp_path_factory.mktemp("beside")) as made:
        made.kubectl.apply(secret, model("beside", serving={"probes": PROBES}), _version("beside", containers=[engine]))
        made.kubectl.apply(model("front", serving={"probes": PROBES}), _version("front", external=external))
        yield made


def _asked(stage: Stage, name: str) -> dict[str, Any]:
    """What the front tells; nothing while kube-proxy is behind the Service."""
    address = stage.watched.live("Service", name)["spec"]["clusterIP"]
    try:
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=3) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except OSError:
        return {}


def test_a_container_beside_the_adapter_is_the_same_after_an_upgrade(stage: Stage) -> None:
    assert stage.until_serves("beside") == "beside-1"
    wanted = {"engine": 200, "shared": ["began"]}
    stage.until("beside", lambda name: _asked(stage, name) == wanted, STEADY_SECONDS, "the front asks its engine")
    stage.kubectl.apply(upgrade("beside", "v2"))
    name = stage.until_ready("AdapterUpgrade", "beside", "True", "UpgradeSucceeded")["status"]["toVersion"]
    stage.until("beside", lambda each: _asked(stage, each) == wanted, STEADY_SECONDS, "so does that of the new version")
    before, after = (stage.watched.live("Deployment", each)["spec"]["template"]["spec"] for each in ("beside-1", name))
    assert before["initContainers"] == after["initContainers"]
    assert before["containers"][0]["image"] != after["containers"][0]["image"]


def test_an_external_models_credentials_reach_the_adapter_and_no_status(stage: Stage) -> None:
    assert stage.until_serves("front") == "front-1"
    wanted = {"baseUrl": "https://models.example/v1", "token": len(TOKEN)}
    stage.until("front", lambda name: _asked(stage, name) == wanted, STEADY_SECONDS, "the front has its credentials")
    written = [stage.watched.live(kind, name) for kind, name in (("Model", "front"), ("ModelVersion", "front-1"))]
    assert TOKEN not in json.dumps(written)
