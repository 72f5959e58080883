"""A version's pods are the same wherever they answer requests: in production, in a branch, in a sandbox."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from topgraft.rollout import views

from .world import MODEL, World

DIGEST = "sha256:" + "0123456789abcdef" * 4
WEIGHTS = {"name": "weights", "mountPath": "/weights", "configMap": {"name": "weights"}}
CLAIM = {"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights", "subPath": "a"}}
SIDECAR = {"name": "triton", "image": f"registry.example/triton@{DIGEST}", "ports": [8000], "args": ["$(A)"]}
EXTERNAL = {"baseUrl": "https://models.example/v1", "secretRef": {"name": "token"}, "configuration": {"a": "b"}}
PEFT = {"name": "sql", "type": "project", "baseModelRef": {"name": MODEL}, "location": "adapters/sql"}

VERSIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "containers": {"artifact": {"volumes": [WEIGHTS], "containers": [SIDECAR]}},
    "external": {"artifact": {"external": EXTERNAL}},
    "all of it": {"artifact": {"volumes": [CLAIM], "containers": [SIDECAR, {**SIDECAR, "name": "x"}]}},
    "PEFT adapters": {"artifact": {"volumes": [CLAIM], "adapters": [PEFT]}},
    "head": {"headConversion": {"mode": "Auto", "headName": "default"}},
    "infos": {"outputInfo": {"params": {"a": "1"}}, "inputInfo": {}},
    "stock": {"adapter": {"image": "registry.local/digits:v2", "contract": "None", "args": ["--fast"]}},
    "adapter": {
        "adapter": {
            "image": "registry.local/digits:v2",
            "env": [{"name": "MODE", "value": "new"}],
            "args": ["-v"],
            "resources": {"limits": {"memory": "1Gi"}},
            "pullPolicy": "Always",
        }
    },
}
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "serving": {
        "podLabels": {"team": "a"},
        "podAnnotations": {"scrape": "yes"},
        "serviceAccountName": "digits",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "terminationGracePeriodSeconds": 90,
        "volumes": [{"name": "cache", "mountPath": "/cache", "emptyDir": {"medium": "Memory"}}],
        "podSecurityContext": {"fsGroup": 5},
        "securityContext": {"readOnlyRootFilesystem": False},
        "env": [{"name": "MODE", "value": "old"}, {"name": "LEVEL", "value": "3"}],
        "resources": {"limits": {"memory": "2Gi"}},
        "probes": {"readinessPath": "/ready", "startupSeconds": 7},
        "ports": [{"name": "http", "port": 80, "containerPort": 9000}, {"name": "grpc", "port": 9001}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
        ],
    },
}


def world_with(version: dict[str, Any], serving: dict[str, Any], **spec: Any) -> World:
    """digits-2 is pinned and serves; `spec` names it once more."""
    world = World(claims={"weights": "ReadWriteOnce"}, heads={"v2": {"result": "NotNeeded", "from": "A", "to": "A"}})
    world.model(serving={**serving, "version": "digits-2"}, **spec)
    world.base(revision=1)
    world.base("digits-2", "v2", revision=2, **version)
    world.run(300)
    assert world.serving == "digits-2"
    return world


def template(world: World, deployment: str) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(world.objects["Deployment", deployment]["spec"]["template"])
    return found


def without_selectors(made: dict[str, Any]) -> dict[str, Any]:
    for constraint in made["spec"].get("topologySpreadConstraints", []):
        del constraint["labelSelector"]
    return made


@pytest.mark.parametrize("serving", MODELS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_branch_and_a_sandbox_run_the_very_pods_that_serve(version: str, serving: str) -> None:
    world = world_with(VERSIONS[version], MODELS[serving])
    aside = {"branches": [{"name": "try", "version": "digits-2"}], "sandbox": {"version": "digits-2"}}
    world.model(serving={**MODELS[serving], "version": "digits-2"}, **aside)
    world.run(60)
    production, branch = (without_selectors(template(world, name)) for name in ("digits-2", "digits-try"))
    labels = [made["metadata"].pop("labels") for made in (production, branch)]
    assert {*labels[0].items()} ^ {*labels[1].items()} == {
        (views.ROLE_LABEL, "serving"),
        (views.ROLE_LABEL, "branch"),
        (views.BRANCH_LABEL, "try"),
    }
    assert branch == production
    marks = [dict(world.objects["Deployment", n]["metadata"]["annotations"]) for n in ("digits-2", "digits-try")]
    assert [one.pop(views.APPLIED) for one in marks]
    assert marks[0] == marks[1]

    box = copy.deepcopy(world.objects["Pod", "digits-2-sandbox"]["spec"])
    assert (box.pop("restartPolicy"), box.pop("nodeName")) == ("Always", "node-1")
    spec = {**production["spec"], "initContainers": production["spec"].get("initContainers", [])}
    assert {**spec, "topologySpreadConstraints": box.get("topologySpreadConstraints")} == {
        **box,
        "topologySpreadConstraints": None,
    }


def test_infos_that_are_taken_away_restart_no_pod_of_a_branch() -> None:
    world = world_with(VERSIONS["infos"], {}, branches=[{"name": "try", "version": "digits-2"}])
    before = template(world, "digits-try")
    assert "TOPGRAFT_INFO_DIR" in json.dumps(before)
    world.base("digits-2", "v2", revision=2)
    world.run(60)
    assert template(world, "digits-try") == before


@pytest.mark.parametrize("image", ["registry.local/other:v9", f"registry.local/other:v2@{DIGEST}", "x"])
@pytest.mark.parametrize("name", ["digits-2", "digits-try"])
def test_somebody_elses_image_in_a_deployment_is_not_kept(name: str, image: str) -> None:
    world = world_with({}, {})
    world.model(serving={"version": "digits-2"}, branches=[{"name": "try", "version": "digits-2"}])
    world.run(60)
    before = template(world, name)
    world.objects["Deployment", name]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    world.run(60)
    assert template(world, name) == before


def test_no_branch_and_no_sandbox_shows_other_bytes_than_were_proved() -> None:
    """A volume of the Model's over the artifact of a version that is only tried."""
    world = World()
    world.model(serving={"volumes": [{"name": "cache", "mountPath": "/models/cache", "emptyDir": {}}]})
    world.base(revision=1)
    models = {"name": "weights", "mountPath": "/models", "configMap": {"name": "weights"}}
    world.base("digits-2", "v2", channel="Experimental", artifact={"volumes": [models]})
    world.run(120)
    serving = world.objects["Model", MODEL]["spec"]["serving"]
    aside = {"branches": [{"name": "try", "version": "digits-2"}], "sandbox": {"version": "digits-2"}}
    world.model(serving=serving, **aside)
    world.run(60)
    said = world.conditions("Model", MODEL)
    assert said["Ready"] == ("True", "Serving")
    assert said["BranchesReady"] == ("False", "MountPathTaken")
    assert said["SandboxReady"] == ("False", "MountPathTaken")
    assert ("Deployment", "digits-try") not in world.objects
    assert ("Pod", "digits-2-sandbox") not in world.objects


def test_a_pod_that_only_checks_has_an_owner_and_no_controller() -> None:
    world = World()
    checks = {"smoke": [{"name": "alive", "path": "/v2/health/ready"}], "testSuite": {}}
    world.model(verification=checks, sandbox={"version": "digits-1"})
    world.base()
    found: dict[str, dict[str, Any]] = {}
    for tag in ("v1", "v2"):
        world.upgrade(tag)
        for _ in range(20):
            world.run(1)
            found |= {n: p["metadata"] for (k, n), p in world.objects.items() if k == "Pod" and "deployment" not in p}
    bare = {
        name: meta["ownerReferences"][0]
        for name, meta in found.items()
        if meta["labels"][views.ROLE_LABEL] != "serving"
    }
    assert {name.rpartition("-")[2] for name in bare} == {"preflight", "verify", "test", "sandbox"}
    assert not any(owner["controller"] for owner in bare.values()), (
        "a disruption budget adds up what controllers ask for"
    )
    uid = world.objects["Model", MODEL]["metadata"]["uid"]
    assert {owner["uid"] for owner in bare.values()} == {uid}


def test_the_tests_run_in_the_pod_that_would_serve() -> None:
    """With the same files, variables and containers, but the tests in the place of the server."""
    world = World()
    world.model(verification={"testSuite": {}})
    artifact = {"volumes": [WEIGHTS], "containers": [SIDECAR], "external": EXTERNAL}
    world.base(artifact=artifact, outputInfo={"params": {"a": "1"}})
    seen: dict[str, dict[str, Any]] = {}

    def look() -> Any:
        done = world.look()
        seen.update({n: b["spec"] for (k, n), b in world.objects.items() if k == "Pod" and n.endswith("-test")})
        return done

    world.run(120, look)
    (suite,) = seen.values()
    production = template(world, "digits-1")["spec"]
    assert suite["initContainers"] == production["initContainers"]
    assert suite["volumes"] == production["volumes"]
    mine, served = suite["containers"][0], production["containers"][0]
    assert mine["volumeMounts"] == served["volumeMounts"]
    assert [item for item in served["env"] if item not in mine["env"]] == []
