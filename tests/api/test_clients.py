"""The API as kubectl, Argo CD, an HPA and two managers at once meet it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_objects import changed, minimal
from apiserver import PLURALS, Kubectl, Objects

KINDS = list(PLURALS)
FULL = {
    body["kind"]: body
    for path in sorted((Path(__file__).resolve().parents[1] / "objects").glob("*.yaml"))
    for body in [yaml.safe_load(path.read_text())]
}
SERVER_SIDE = ("--server-side", "--field-manager=x")
APPLIES = {"client-side": (), "server-side": SERVER_SIDE}


def resource(kind: str) -> str:
    return f"{PLURALS[kind]}.topgraft.dev"


def without_defaults(live: Any, given: Any) -> Any:
    """The stored value without what the schema added."""
    if isinstance(given, dict):
        return {key: without_defaults(live[key], given[key]) for key in given if key in live}
    return live


@pytest.mark.parametrize("how", APPLIES)
@pytest.mark.parametrize("size", ["minimal", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_applied_object_does_not_drift(kubectl: Kubectl, kind: str, size: str, how: str) -> None:
    body = FULL[kind] if size == "full" else minimal(kind)
    kubectl("apply", *APPLIES[how], "--filename=-", body=body)
    live = kubectl.get(resource(kind), body["metadata"]["name"])
    assert without_defaults(live["spec"], body["spec"]) == body["spec"]
    diff = kubectl.run("diff", *APPLIES[how], "--filename=-", body=body)
    assert diff.returncode == 0, diff.stdout + diff.stderr
    again = kubectl("apply", *APPLIES[how], "--filename=-", body=body)
    assert again.endswith("serverside-applied\n" if how == "server-side" else "unchanged\n")
    assert kubectl.get(resource(kind), body["metadata"]["name"])["metadata"]["generation"] == 1


def test_what_was_applied_client_side_can_go_on_server_side(kubectl: Kubectl) -> None:
    kubectl("apply", "--filename=-", body=minimal("Model"))
    kubectl("apply", "--server-side", "--filename=-", body=changed(minimal("Model"), "spec.task", "sorting"))
    assert kubectl.get("mdl", "digits")["spec"]["task"] == "sorting"


def test_an_unknown_field_is_pruned_where_it_is_not_refused(kubectl: Kubectl) -> None:
    body = changed(minimal("Model"), "spec.serving.size", 3)
    assert 'unknown field "spec.serving.size"' in kubectl.run("apply", "--filename=-", body=body).stderr
    kubectl("apply", "--validate=warn", "--filename=-", body=body)
    assert "size" not in kubectl.get("mdl", "digits")["spec"]["serving"]


DEFAULTS: dict[str, dict[str, Any]] = {
    "Model": {
        "visibility": "Private",
        "lineagePolicy": "Warn",
        "publishPolicy": "EveryCommit",
        "serving": {"replicas": 1, "terminationGracePeriodSeconds": 30},
        "strategy": {
            "type": "BlueGreen",
            "progressDeadlineSeconds": 600,
            "failFastSeconds": 20,
            "whenUnschedulable": "Wait",
            "requireApproval": False,
        },
        "rollback": {
            "automatic": True,
            "bakeSeconds": 60,
            "onInconclusive": "Finish",
            "watch": "WhileWarm",
            "standbySeconds": 600,
            "standbyReplicas": 1,
        },
        "versionHistoryLimit": 10,
    },
    "ModelVersion": {"channel": "Production", "adapter": {"contract": "Topgraft"}, "artifact": {"verify": "Full"}},
    "AdapterUpgrade": {
        "allowRepositoryChange": False,
        "allowApiBreak": False,
        "allowSourceType": False,
        "suspend": False,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_these_and_no_others(objects: Objects, kind: str) -> None:
    body = minimal(kind)
    wanted = {**body["spec"], **DEFAULTS[kind]}
    if kind == "ModelVersion":
        wanted |= {part: {**body["spec"][part], **DEFAULTS[kind][part]} for part in ("adapter", "artifact")}
    made = objects.create(body)
    assert made["spec"] == wanted
    assert objects.read(kind, "digits")["status"] == {"observedGeneration": -1}


def test_the_paths_of_probes_stay_open_for_images_without_the_contract(objects: Objects) -> None:
    made = objects.create(changed(minimal("Model"), "spec.serving.probes", {}))
    assert made["spec"]["serving"]["probes"] == {"startupSeconds": 300, "timeoutSeconds": 1, "failureThreshold": 2}


def test_a_partly_given_policy_gets_the_rest(objects: Objects) -> None:
    made = objects.create(changed(minimal("Model"), "spec.rollback", {"bakeSeconds": 5}))
    assert made["spec"]["rollback"] == {**DEFAULTS["Model"]["rollback"], "bakeSeconds": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_cannot_write_status_with_the_object(objects: Objects, kind: str) -> None:
    made = objects.create({**minimal(kind), "status": {"observedGeneration": 7}})
    assert made["status"]["observedGeneration"] == -1


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("type", "Not a word", "should match"),
        ("status", "Perhaps", '"True", "False", "Unknown"'),
        ("reason", "", "at least 1 chars"),
        ("reason", "two words", "should match"),
        ("message", "x" * 32769, "32768"),
        ("lastTransitionTime", "yesterday", "date-time"),
        ("observedGeneration", -1, "greater than or equal to 0"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_those_of_kubernetes(
    objects: Objects, kind: str, field: str, value: object, reason: str
) -> None:
    objects.create(minimal(kind))
    good = condition("Ready", "True", "Serving", "")
    objects.patch_status(kind, "digits", {"conditions": [good]})
    said = objects.refusal_of_status(kind, "digits", {"conditions": [{**good, field: value}]})
    assert f"status.conditions[0].{field}" in said
    assert reason in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_has_a_type_of_its_own(objects: Objects, kind: str) -> None:
    objects.create(minimal(kind))
    twice = [condition("Ready", "True", "A", ""), condition("Ready", "False", "B", "")]
    said = objects.refusal_of_status(kind, "digits", {"conditions": twice})
    assert "status.conditions[1]: Duplicate value" in said


@pytest.mark.parametrize("kind", ["Model", "AdapterUpgrade"])
def test_the_history_is_bounded(objects: Objects, kind: str) -> None:
    objects.create(minimal(kind))
    entry = {"version": "digits-1", "image": "registry.example/digits:v1", "outcome": "Succeeded"}
    if kind == "Model":
        del entry["image"]
    objects.patch_status(kind, "digits", {"history": [entry] * 10})
    assert "status.history" in objects.refusal_of_status(kind, "digits", {"history": [entry] * 11})


def test_two_managers_keep_their_own_variables_ports_and_volumes(kubectl: Kubectl) -> None:
    def body(name: str, port: int) -> dict[str, Any]:
        serving = {
            "env": [{"name": name.upper(), "value": name}],
            "ports": [{"name": name, "port": port}],
            "volumes": [{"name": name, "mountPath": f"/{name}", "emptyDir": {}}],
            "imagePullSecrets": [{"name": name}],
        }
        return changed(minimal("Model"), "spec.serving", serving)

    kubectl("apply", "--server-side", "--field-manager=one", "--filename=-", body=body("http", 80))
    kubectl("apply", "--server-side", "--field-manager=two", "--filename=-", body=body("metrics", 90))
    kubectl("apply", "--server-side", "--field-manager=one", "--filename=-", body=body("http", 81))
    serving = kubectl.get("mdl", "digits")["spec"]["serving"]
    assert [item["name"] for item in serving["env"]] == ["HTTP", "METRICS"]
    assert [(item["name"], item["port"]) for item in serving["ports"]] == [("http", 81), ("metrics", 90)]
    assert [item["name"] for item in serving["volumes"]] == ["http", "metrics"]
    assert [item["name"] for item in serving["imagePullSecrets"]] == ["http", "metrics"]


def test_an_autoscaler_beside_git_is_not_disturbed(kubectl: Kubectl) -> None:
    """Git leaves replicas out; what /scale wrote stays through the next apply."""
    kubectl("apply", *SERVER_SIDE, "--filename=-", body=minimal("Model"))
    kubectl("scale", "models.topgraft.dev/digits", "--replicas=4")
    kubectl("apply", *SERVER_SIDE, "--filename=-", body=changed(minimal("Model"), "spec.task", "sorting"))
    assert kubectl.get("mdl", "digits")["spec"]["serving"]["replicas"] == 4


def test_scale_shows_what_an_autoscaler_needs(kubectl: Kubectl, objects: Objects, namespace: str) -> None:
    objects.create(minimal("Model"))
    objects.patch_status("Model", "digits", {"replicas": 2, "selector": "topgraft.dev/version=digits-1"})
    kubectl("scale", "models.topgraft.dev/digits", "--replicas=3", "--current-replicas=1")
    scale = yaml.safe_load(
        kubectl("get", "--raw", f"/apis/topgraft.dev/v1alpha1/namespaces/{namespace}/models/digits/scale")
    )
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "topgraft.dev/version=digits-1"}


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("Model", "spec.modelTypeId=classifier"),
        ("Model", "spec.serving.version=digits-1"),
        ("Model", "status.servingVersion=digits-1"),
        ("Model", "status.state=ACTIVE"),
        ("ModelVersion", "spec.modelRef.name=digits"),
        ("ModelVersion", "spec.adapter.image=registry.example/digits:v1"),
        ("ModelVersion", "spec.channel=Production"),
        ("ModelVersion", "spec.parentVersion=digits-0"),
        ("AdapterUpgrade", "spec.modelRef.name=digits"),
        ("AdapterUpgrade", "spec.adapter.image=registry.example/digits:v2"),
        ("AdapterUpgrade", "spec.reason=BugFix"),
        ("AdapterUpgrade", "spec.fromVersion=digits-1"),
    ],
)
def test_objects_are_found_by_their_fields(kubectl: Kubectl, objects: Objects, kind: str, selector: str) -> None:
    others: dict[str, dict[str, Any]] = {
        "Model": {"modelTypeId": "other"},
        "ModelVersion": {"modelRef": {"name": "o"}, "adapter": {"image": "other"}, "channel": "PreRelease"},
        "AdapterUpgrade": {"modelRef": {"name": "o"}, "adapter": {"image": "other"}, "reason": "MethodChange"},
    }
    given: dict[str, dict[str, Any]] = {
        "Model": {"serving": {"version": "digits-1"}},
        "ModelVersion": {"parentVersion": "digits-0"},
        "AdapterUpgrade": {"fromVersion": "digits-1"},
    }
    for name, more in (("digits", given[kind]), ("other", others[kind])):
        body = minimal(kind, name)
        objects.create({**body, "spec": {**body["spec"], **more}})
    if kind == "Model":
        objects.patch_status(kind, "digits", {"servingVersion": "digits-1", "state": "ACTIVE"})
    found = kubectl("get", resource(kind), f"--field-selector={selector}", "--output=name")
    assert found == f"{kind.lower()}.topgraft.dev/digits\n"


STATUS: dict[str, dict[str, Any]] = {
    "Model": {
        "servingVersion": "digits-1",
        "adapterImage": "registry.example/digits:v1",
        "state": "ACTIVE",
        "conditions": [condition("Ready", "True", "Serving", "all is well")],
    },
    "ModelVersion": {
        "artifact": {"digest": "sha256:" + "ab" * 32},
        "conditions": [condition("Serving", "True", "Serving", ""), condition("Ready", "True", "Verified", "")],
    },
    "AdapterUpgrade": {"conditions": [condition("Ready", "False", "RolledBack", "digits-2 lost all its pods")]},
}
NARROW = {
    "Model": """\
NAME     READY   SERVING VERSION   IMAGE                        STATE    REASON    AGE
digits   True    digits-1          registry.example/digits:v1   ACTIVE   Serving   #
""",
    "ModelVersion": """\
NAME     MODEL    IMAGE                        READY   REASON     SERVING   AGE
digits   digits   registry.example/digits:v1   True    Verified   True      #
""",
    "AdapterUpgrade": """\
NAME     MODEL    IMAGE                        READY   REASON       AGE
digits   digits   registry.example/digits:v2   False   RolledBack   #
""",
}
WIDE = {
    "Model": """\
NAME     READY   SERVING VERSION   IMAGE                        STATE    REASON    PIN   AGE
digits   True    digits-1          registry.example/digits:v1   ACTIVE   Serving         #
""",
    "ModelVersion": f"""\
NAME     MODEL    IMAGE                        READY   REASON     SERVING   DIGEST{" " * 68}AGE
digits   digits   registry.example/digits:v1   True    Verified   True      sha256:{"ab" * 32}   #
""",
    "AdapterUpgrade": """\
NAME     MODEL    IMAGE                        TAG   READY   REASON       MESSAGE                      AGE
digits   digits   registry.example/digits:v2         False   RolledBack   digits-2 lost all its pods   #
""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kubectl_get_shows_what_matters(kubectl: Kubectl, objects: Objects, kind: str) -> None:
    objects.create(minimal(kind))
    objects.patch_status(kind, "digits", STATUS[kind])

    def table(*options: str) -> str:
        return re.sub(r"\d+s$", "#", kubectl("get", resource(kind), *options), flags=re.MULTILINE)

    assert table() == NARROW[kind]
    assert table("--output=wide") == WIDE[kind]


def test_the_kinds_have_short_names_and_a_category(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", "--categories=topgraft", "--no-headers")
    assert {tuple(line.split()) for line in listed.splitlines()} == {
        ("adapterupgrades", "aup", "topgraft.dev/v1alpha1", "true", "AdapterUpgrade"),
        ("models", "mdl", "topgraft.dev/v1alpha1", "true", "Model"),
        ("modelversions", "mdv", "topgraft.dev/v1alpha1", "true", "ModelVersion"),
    }


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("models.spec.serving.replicas", "Number of pods"),
        ("modelversions.spec.artifact.volumes.image.reference", "by digest"),
        ("adapterupgrades.spec.allowApiBreak", "Whether inputs and outputs may change incompatibly"),
        ("models.status.lastRollback", "The last return to a previous version"),
    ],
)
def test_kubectl_explains_the_fields(kubectl: Kubectl, field: str, text: str) -> None:
    assert text in kubectl("explain", field)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_blocks_a_deletion(kubectl: Kubectl, objects: Objects, kind: str) -> None:
    objects.create(minimal(kind))
    kubectl("delete", resource(kind), "digits", "--timeout=10s")
