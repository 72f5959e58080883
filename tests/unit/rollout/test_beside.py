"""Containers beside the adapter, external models, and versions without artifacts."""

from __future__ import annotations

import json
from typing import Any

from .world import World

DIGEST = "sha256:" + "0123456789abcdef" * 4
TRITON = {
    "name": "triton",
    "image": f"registry.example/triton@{DIGEST}",
    "args": ["--model-repository=/artifacts"],
    "ports": [8000, 8001],
    "readinessPath": "/v2/health/ready",
    "resources": {"limits": {"memory": "2Gi"}},
}
EXTERNAL = {"baseUrl": "https://models.example/v1", "secretRef": {"name": "token"}, "configuration": {"region": "eu"}}
WEIGHTS = {"name": "weights", "mountPath": "/artifacts", "configMap": {"name": "weights"}}


def pod_of(world: World, version: str = "digits-1") -> dict[str, Any]:
    spec: dict[str, Any] = world.objects["Deployment", version]["spec"]["template"]["spec"]
    return spec


def served(**artifact: Any) -> World:
    world = World()
    world.model()
    world.base(artifact=artifact)
    world.run(120)
    return world


def variables(spec: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in spec["containers"][0]["env"]}


def test_containers_start_before_the_adapter_and_end_after_it() -> None:
    world = served(volumes=[WEIGHTS], containers=[TRITON])
    assert world.serving == "digits-1"
    spec = pod_of(world)
    (beside,) = spec["initContainers"]
    assert (beside["name"], beside["restartPolicy"], beside["args"]) == ("triton", "Always", TRITON["args"])
    assert beside["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}
    assert "ports" not in beside, "it is reached on localhost alone, never through the Service"
    assert beside["securityContext"] == spec["containers"][0]["securityContext"]
    adapter = spec["containers"][0]
    for container in (adapter, beside):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts["/artifacts"]["readOnly"] is True
        assert "readOnly" not in mounts["/topgraft/shared"]
    assert next(m for m in beside["volumeMounts"] if m["mountPath"] == "/tmp")["subPath"] == "triton"
    assert json.loads(variables(spec)["TOPGRAFT_CONTAINERS"]) == {
        "services": {"triton": ["localhost:8000", "localhost:8001"]},
        "sharedEmptyDirMountPath": "/topgraft/shared",
    }


def test_credentials_are_mounted_for_the_adapter_alone_and_never_in_its_environment() -> None:
    world = served(volumes=[WEIGHTS], containers=[TRITON], external=EXTERNAL)
    spec = pod_of(world)
    assert json.loads(variables(spec)["TOPGRAFT_EXTERNAL"]) == {
        "baseUrl": "https://models.example/v1",
        "configuration": {"region": "eu"},
        "credentialsDir": "/topgraft/external",
    }
    paths = {
        c["name"]: [m["mountPath"] for m in c["volumeMounts"]] for c in (*spec["containers"], *spec["initContainers"])
    }
    assert "/topgraft/external" in paths["adapter"]
    assert "/topgraft/external" not in paths["triton"]
    assert {"name": "artifact--external", "secret": {"secretName": "token"}} in spec["volumes"]


def test_an_external_model_serves_without_any_artifact_and_takes_an_upgrade() -> None:
    world = served(external=EXTERNAL)
    assert world.serving == "digits-1"
    spec = pod_of(world)
    assert "TOPGRAFT_ARTIFACT_DIR" not in variables(spec)
    assert "initContainers" not in spec
    recorded = world.objects["ModelVersion", "digits-1"]["status"]["artifact"]["digest"]
    assert recorded.startswith("sha256:")
    world.upgrade("v2")
    world.run(600)
    assert world.serving_tag == "v2"
    (made,) = [name for kind, name in world.objects if kind == "ModelVersion" and name != "digits-1"]
    assert world.objects["ModelVersion", made]["status"]["artifact"]["digest"] == recorded
    assert world.objects["ModelVersion", made]["spec"]["artifact"] == {"external": EXTERNAL}


def test_a_version_with_neither_is_rendered_as_before() -> None:
    spec = pod_of(served(volumes=[WEIGHTS]))
    assert "initContainers" not in spec
    assert not {"TOPGRAFT_CONTAINERS", "TOPGRAFT_EXTERNAL", "TOPGRAFT_GRPC_PORT"} & set(variables(spec))
    assert "topgraft/shared" not in json.dumps(spec)


def test_a_port_named_grpc_is_where_the_adapter_answers_grpc() -> None:
    world = World()
    ports = [{"name": "http", "port": 80, "containerPort": 8080}, {"name": "grpc", "port": 9000}]
    world.model(serving={"ports": ports})
    world.base()
    world.run(120)
    assert variables(pod_of(world))["TOPGRAFT_GRPC_PORT"] == "9000"
