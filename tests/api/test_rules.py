"""Every rule of the schema, each with objects that the API server accepts and objects that it refuses.

A refusal must name the field and say what is wanted: it is all that somebody behind a Git repository gets to see.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from api_objects import REMOVED, changed, minimal
from apiserver import CRDS, Objects, messages_of, schema_of

DIGEST = "sha256:" + "0123456789abcdef" * 4
VOLUME = {"name": "weights", "mountPath": "/artifacts", "configMap": {"name": "weights"}}
TERM = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}


class Refused(NamedTuple):
    """A value that the API server refuses, with the parts of its answer that a person needs."""

    kind: str
    path: str
    value: object
    field: str
    reason: str


def ports(*items: tuple[object, ...]) -> list[dict[str, object]]:
    return [dict(zip(("name", "port", "containerPort"), item, strict=False)) for item in items]


def volume(**source: object) -> dict[str, object]:
    return {"name": "weights", "mountPath": "/artifacts", **source}


def many(count: int, **fields: object) -> list[dict[str, object]]:
    return [{"name": f"n{i}", **fields} for i in range(count)]


M, V, U = "Model", "ModelVersion", "AdapterUpgrade"
VOL = "spec.artifact.volumes"
BOX = "spec.artifact.containers"
BESIDE = {"name": "triton", "image": f"registry.example/triton@{DIGEST}"}
INFO = "spec.outputInfo"
PEFT, JOBS = "spec.artifact.adapters", "spec.fineTuningJobs"
LORA = {"type": "project", "name": "sql", "baseModelRef": {"name": "llama"}, "location": "adapters/sql"}
TRAIN = "spec.trainInfo.job"
SMOKE, GOLDEN = "spec.verification.smoke", "spec.verification.golden"
FILE = {"configMap": {"name": "golden"}}


OBJECTIVES, RELEASES = "spec.objectives", "spec.objectives[0].releases"


def objective(**fields: object) -> list[dict[str, object]]:
    return [{"name": "quality", **fields}]


def checked(**fields: object) -> list[dict[str, object]]:
    return objective(checks=[{"name": "c", **fields}])


def metric(**bounds: str) -> list[dict[str, object]]:
    return checked(type="Metric", metric={"name": "accuracy", **bounds})


def released(*items: tuple[int, str]) -> list[dict[str, object]]:
    return [{"number": n, "version": "digits-1", "environment": environment} for n, environment in items]


def expecting(condition: dict[str, object]) -> list[dict[str, object]]:
    return [{"name": "a", "path": "/", "expect": {"jsonPath": [condition]}}]


ROUTE, GATEWAY = "spec.serving.httpRoute", {"name": "public"}
BETA = {"branch": "beta", "header": "X-Try", "value": "1"}


def route(**fields: object) -> dict[str, object]:
    return {"parentRefs": [GATEWAY], **fields}


def lora(**fields: object) -> list[dict[str, object]]:
    return [{name: value for name, value in {**LORA, **fields}.items() if value is not REMOVED}]


HUB = {"type": "huggingface", "location": REMOVED}
REGISTRY = {"type": "model_registry", "location": REMOVED}
INCOMPLETE = [
    (lora(name=REMOVED, baseModelRef={"name": " "}, location=" "), "Field 'name' is required in AddAdapterRequest."),
    (lora(name="", location=REMOVED), "Field 'name' is required in AddAdapterRequest."),
    (lora(name=" ", baseModelRef=REMOVED), "Field 'model_id' is required in AddAdapterRequest."),
    (lora(baseModelRef={"name": ""}, location=REMOVED), "Field 'model_id' is required in AddAdapterRequest."),
    (lora(location=REMOVED, name=" "), "Field 'location' is required in AddAdapterRequest."),
    (lora(**HUB), "Field 'huggingface_name' is required in AddAdapterRequest."),
    (lora(**REGISTRY), "Field 'cml_registered_model_id' is required in AddAdapterRequest."),
    (lora(name="  ", location=" "), "Field 'name' cannot be an empty string or only spaces."),
    (lora(baseModelRef={"name": " "}), "Field 'model_id' cannot be an empty string or only spaces."),
    (lora(location=" "), "Field 'location' cannot be an empty string or only spaces."),
    (lora(**{**HUB, "location": "\t"}, huggingfaceName="a/b"), "Field 'location' cannot be an empty string or only"),
    (lora(**HUB, huggingfaceName=" "), "Field 'huggingface_name' cannot be an empty string or only spaces."),
    (lora(**REGISTRY, cmlRegisteredModelId=" "), "Field 'cml_registered_model_id' cannot be an empty string or only"),
]
"""Adapters that break several rules of the specification, and the one that it tells first."""

REFUSED = [
    # PEFT adapters
    *(Refused(V, PEFT, value, f"{PEFT}[0]", text) for value, text in INCOMPLETE),
    Refused(V, PEFT, lora(type="local"), f"{PEFT}[0].type", '"project", "huggingface", "model_registry"'),
    Refused(V, PEFT, lora(type=REMOVED), f"{PEFT}[0].type", "Required value"),
    Refused(V, PEFT, lora(location="a/../.."), f"{PEFT}[0].location", "must have a location without a '..' segment"),
    Refused(V, PEFT, lora(rank=4), f"{PEFT}[0].rank", "unknown field"),
    *(
        Refused(V, PEFT, lora(**{field: "x" * (limit + 1)}), f"{PEFT}[0].{field}", f"than {limit}")
        for field, limit in (("name", 128), ("description", 1024), ("location", 1024), ("huggingfaceName", 256))
    ),
    Refused(V, PEFT, lora(cmlRegisteredModelId="x" * 129), f"{PEFT}[0].cmlRegisteredModelId", "than 128"),
    Refused(V, PEFT, lora(baseModelRef={"name": "x" * 254}), f"{PEFT}[0].baseModelRef.name", "than 253"),
    Refused(V, PEFT, lora(fineTuningJobRef={}), f"{PEFT}[0].fineTuningJobRef.id", "Required value"),
    Refused(V, PEFT, lora(fineTuningJobRef={"id": "x" * 129}), f"{PEFT}[0].fineTuningJobRef.id", "than 128"),
    Refused(V, PEFT, lora(promptRef={"id": "x" * 129}), f"{PEFT}[0].promptRef.id", "than 128"),
    Refused(V, PEFT, lora(mlflow={"experimentId": "x" * 129}), f"{PEFT}[0].mlflow.experimentId", "than 128"),
    Refused(V, PEFT, lora(mlflow={"runId": "x" * 129}), f"{PEFT}[0].mlflow.runId", "than 128"),
    Refused(V, PEFT, lora() * 2, PEFT, "An adapter with the same name already exists"),
    Refused(V, PEFT, lora() + lora(name=" sql "), PEFT, "An adapter with the same name already exists"),
    Refused(V, PEFT, [{**LORA, "name": f"a{i}"} for i in range(33)], PEFT, "must have at most 32 items"),
    *(
        Refused(M, JOBS, [{"id": "j", field: value}], f"{JOBS}[0].{field}", text)
        for field, value, text in (
            (
                "adapterName",
                "my adapter",
                "Adapter Name should only contain alphanumeric characters and hyphens, and no",
            ),
            ("adapterName", "x" * 129, "than 128"),
            *(("datasetFraction", v, "Dataset fraction must be between 0 and 1.") for v in ("0", "1.01", "-1", "half")),
            *(("trainTestSplit", v, "Train-test split must be between 0 and 1.") for v in ("0.0", "2", "9e-1", ".9")),
        )
    ),
    *(
        Refused(
            M, "spec.mlflow.registeredModel", name, "spec.mlflow.registeredModel", "must be a name of letters, digits"
        )
        for name in ("", "a/b", "a:b", " a", "x'y")
    ),
    Refused(M, "spec.mlflow.registeredModel", "x" * 256, "spec.mlflow.registeredModel", "than 255"),
    Refused(M, JOBS, [{"id": ""}], f"{JOBS}[0].id", "at least 1 chars"),
    Refused(M, JOBS, [{"id": "j"}, {"id": "j"}], f"{JOBS}[1]", "Duplicate value"),
    Refused(M, JOBS, [{"id": f"j{i}"} for i in range(65)], JOBS, "must have at most 64 items"),
    Refused(M, "spec.prompts", [{"id": "p"}, {"id": "p"}], "spec.prompts[1]", "Duplicate value"),
    Refused(M, "spec.prompts", [{"id": "p", "template": "x" * 4097}], "spec.prompts[0].template", "than 4096"),
    Refused(M, "spec.prompts", [{"id": f"p{i}"} for i in range(65)], "spec.prompts", "must have at most 64 items"),
    # Names of the objects
    Refused(M, "metadata.name", "a" * 54, "metadata.name", "at most 53 characters"),
    Refused(M, "metadata.name", "digits.v1", "metadata.name", "must be a DNS label"),
    Refused(M, "metadata.name", "1digits", "metadata.name", "starts with a letter"),
    Refused(V, "metadata.name", "a" * 64, "metadata.name", "at most 63 characters"),
    Refused(V, "metadata.name", "digits.v1", "metadata.name", "must be a DNS label"),
    # What must be given
    Refused(M, "spec", REMOVED, "spec", "Required value"),
    Refused(M, "spec.modelTypeId", REMOVED, "spec.modelTypeId", "Required value"),
    Refused(M, "spec.modelTypeId", "", "spec.modelTypeId", "at least 1 chars"),
    Refused(V, "spec.modelRef", REMOVED, "spec.modelRef", "Required value"),
    Refused(V, "spec.artifact", REMOVED, "spec.artifact", "Required value"),
    Refused(V, "spec.artifact.volumes", REMOVED, "spec.artifact", "must have volumes, containers or external"),
    Refused(V, "spec.artifact.containers", [], "spec.artifact.containers", "at least 1 items"),
    Refused(V, "spec.artifact.containers", [{**BESIDE, "name": f"c{i}"} for i in range(5)], BOX, "at most 4 items"),
    Refused(V, BOX, [BESIDE, BESIDE], f"{BOX}[1]", "Duplicate value"),
    Refused(V, BOX, [{**BESIDE, "name": "adapter"}], f"{BOX}[0].name", "is the name of a container of Topgraft's own"),
    Refused(V, BOX, [{**BESIDE, "name": "A"}], f"{BOX}[0].name", "should match"),
    Refused(V, BOX, [{**BESIDE, "image": "triton:v1"}], f"{BOX}[0].image", "must name the image by digest"),
    Refused(V, BOX, [{**BESIDE, "ports": [0]}], f"{BOX}[0].ports[0]", "greater than or equal to 1"),
    Refused(V, BOX, [{**BESIDE, "ports": []}], f"{BOX}[0].ports", "at least 1 items"),
    Refused(V, BOX, [{**BESIDE, "readinessPath": "/x"}], f"{BOX}[0]", "readinessPath needs ports"),
    Refused(V, BOX, [{**BESIDE, "ports": [1], "readinessPath": "x"}], f"{BOX}[0].readinessPath", "should match"),
    *(
        Refused(V, "spec.artifact.external", {"baseUrl": url}, "spec.artifact.external.baseUrl", "should match")
        for url in (
            "models.example",
            "ftp://models.example",
            "https://user:word@models.example",
            "https://a b",
            "https://",
        )
    ),
    Refused(V, "spec.artifact.external", {}, "spec.artifact.external.baseUrl", "Required value"),
    Refused(V, "spec.adapter", REMOVED, "spec.adapter", "Required value"),
    Refused(V, "spec.adapter.image", REMOVED, "spec.adapter.image", "Required value"),
    Refused(U, "spec.modelRef.name", REMOVED, "spec.modelRef.name", "Required value"),
    Refused(U, "spec.adapter", REMOVED, "spec", "must have either adapter.image or target"),
    Refused(U, "spec.reason", REMOVED, "spec.reason", "Required value"),
    # Unknown fields and values
    Refused(M, "spec.replicas", 1, "spec.replicas", "unknown field"),
    Refused(V, "spec.artifact.digests", 1, "spec.artifact.digests", "unknown field"),
    Refused(M, "spec.visibility", "UNKNOWN", "spec.visibility", '"Private", "Org", "Public"'),
    Refused(M, "spec.strategy.type", "Sudden", "spec.strategy.type", '"BlueGreen", "Canary", "Rolling", "Recreate"'),
    Refused(V, "spec.channel", "Nightly", "spec.channel", '"Production", "PreRelease", "Experimental"'),
    Refused(V, "spec.adapter.contract", "V2", "spec.adapter.contract", '"Topgraft", "None"'),
    Refused(V, "spec.adapter.pullPolicy", "Sometimes", "spec.adapter.pullPolicy", '"Always", "IfNotPresent", "Never"'),
    Refused(U, "spec.reason", "Whim", "spec.reason", '"BugFix", "MethodChange", "DependencyFix"'),
    # Targets
    Refused(U, "spec.adapter", {"args": []}, "spec", "must have either adapter.image or target"),
    Refused(U, "spec.target", {"latest": True}, "spec", "must have either adapter.image or target"),
    *(
        Refused(U, "spec.target", target, "spec.target", "must have exactly one of tag, commit and latest")
        for target in ({}, {"tag": "v1", "latest": True}, {"tag": "v1", "commit": "3f2a9c1"})
    ),
    Refused(U, "spec.target", {"latest": False}, "spec.target.latest", "Unsupported value: false"),
    Refused(U, "spec.target", {"tag": "a/b"}, "spec.target.tag", "must be a tag of an image"),
    Refused(U, "spec.target", {"tag": "v" * 129}, "spec.target.tag", "128"),
    Refused(U, "spec.target", {"commit": "v1"}, "spec.target.commit", "at least 7 chars"),
    Refused(U, "spec.target", {"commit": "3F2A9C1"}, "spec.target.commit", "must be a commit"),
    Refused(M, "spec.publishPolicy", "Sometimes", "spec.publishPolicy", '"EveryCommit", "TagOnly"'),
    # Sources
    Refused(V, "spec.source", {}, "spec.source.type", "Required value"),
    Refused(V, "spec.source.type", "Notebook", "spec.source.type", '"CodeRepository", "CodeWorkspace", "ModelStudio"'),
    *(
        Refused(V, "spec.source", source, "spec.source", "spec.source.promoted must be given with type: Promoted")
        for source in ({"type": "Promoted"}, {"type": "Sdk", "promoted": {"model": "a", "version": "b"}})
    ),
    *(
        Refused(V, "spec.source", {"type": "Sdk", "commit": commit}, "spec.source.commit", "must be a commit")
        for commit in ("main-branch", "ABCDEF12", "3f2a9c1 ")
    ),
    Refused(V, "spec.source", {"type": "Sdk", "commit": "abc"}, "spec.source.commit", "at least 7 chars"),
    Refused(V, "spec.source", {"type": "Sdk", "branch": "a b"}, "spec.source.branch", "must be a name of a branch"),
    Refused(V, "spec.source", {"type": "Sdk", "tag": "-v1"}, "spec.source.tag", "must be a name of a branch or tag"),
    Refused(V, "spec.source", {"type": "Sdk", "repository": "x" * 1025}, "spec.source.repository", "1024"),
    Refused(
        V,
        "spec.source",
        {"type": "Promoted", "promoted": {"model": "A", "version": "b"}},
        "spec.source.promoted.model",
        "must be a DNS label",
    ),
    *(
        Refused(V, "spec.artifact.compatibility", [text], "spec.artifact.compatibility[0]", "must be a package and its")
        for text in (
            "numpy 2",
            "numpy>=2; python_version>'3'",
            "numpy[x]>=1",
            "numpy @ https://a",
            "~=1",
            "numpy~=1",
            ">=1",
            "numpy>=1.*",
            "numpy>=",
            "numpy==1,",
            "n umpy==1",
            "numpy>1\n",
        )
    ),
    Refused(V, "spec.artifact.compatibility", ["numpy"] * 65, "spec.artifact.compatibility", "at most 64 items"),
    # References
    Refused(U, "spec.modelRef.name", "Digits", "spec.modelRef.name", "must be a DNS label"),
    Refused(U, "spec.fromVersion", "a.b", "spec.fromVersion", "must be a DNS label"),
    Refused(V, "spec.parentVersion", "a_b", "spec.parentVersion", "must be a DNS label"),
    Refused(M, "spec.serving.version", "a/b", "spec.serving.version", "must be a DNS label"),
    Refused(
        M, "spec.serving.serviceAccountName", "A", "spec.serving.serviceAccountName", "name of a Kubernetes object"
    ),
    Refused(
        M, "spec.serving.imagePullSecrets", [{"name": "A"}], "imagePullSecrets[0].name", "name of a Kubernetes object"
    ),
    Refused(M, "spec.serving.priorityClassName", "A", "spec.serving.priorityClassName", "name of a Kubernetes object"),
    # Images
    *(
        Refused(kind, "spec.adapter.image", image, "spec.adapter.image", "must be an image reference")
        for kind in (V, U)
        for image in (
            "registry.example/digits v1",
            "https://registry.example/digits",
            "digits@sha256:12",
            "a/b:c:d",
            "/a",
        )
    ),
    Refused(U, "spec.adapter.image", "", "spec.adapter.image", "at least 1 chars"),
    # Artifact volumes
    Refused(V, VOL, [], VOL, "should have at least 1 items"),
    Refused(
        V,
        VOL,
        [{**VOLUME, "name": f"v{i}", "mountPath": f"/v{i}"} for i in range(9)],
        VOL,
        "must have at most 8 items",
    ),
    Refused(V, VOL, [volume()], f"{VOL}[0]", "must have exactly one source of persistentVolumeClaim, image, configMap"),
    Refused(
        V,
        VOL,
        [{**VOLUME, "secret": {"secretName": "s"}}],
        f"{VOL}[0]",
        "must have exactly one source of persistentVol",
    ),
    Refused(V, VOL, [VOLUME, {**VOLUME, "mountPath": "/b"}], f"{VOL}[1]", "Duplicate value"),
    Refused(V, VOL, [VOLUME, {**VOLUME, "name": "b"}], VOL, "every volume must have a mountPath of its own"),
    Refused(V, f"{VOL}.0.name", "A", f"{VOL}[0].name", "must be a DNS label"),
    Refused(V, f"{VOL}.0.name", "a" * 51, f"{VOL}[0].name", "50"),
    *(
        Refused(V, f"{VOL}.0.mountPath", path, f"{VOL}[0].mountPath", "must be an absolute path")
        for path in ("artifacts", "/", "/artifacts/", "/a:b", "//a", "./a")
    ),
    *(
        Refused(V, f"{VOL}.0.mountPath", path, f"{VOL}[0].mountPath", "must not contain a '.' or '..' segment")
        for path in ("/a/../b", "/..", "/./a")
    ),
    *(
        Refused(
            V,
            VOL,
            [volume(persistentVolumeClaim={"claimName": "c", "subPath": path})],
            f"{VOL}[0].persistentVolumeClaim.subPath",
            reason,
        )
        for path, reason in (
            ("/a", "must be a relative path"),
            ("a/../b", "must not contain a '..' segment"),
            ("..", "must not contain a '..' segment"),
        )
    ),
    Refused(
        V,
        VOL,
        [volume(persistentVolumeClaim={"claimName": "C"})],
        "persistentVolumeClaim.claimName",
        "name of a Kubernetes object",
    ),
    *(
        Refused(
            V, VOL, [volume(image={"reference": image})], f"{VOL}[0].image.reference", "must name the image by digest"
        )
        for image in ("registry.example/w:v1", "registry.example/w", f"@{DIGEST}", f"w@{DIGEST[:-1]}", f"w v@{DIGEST}")
    ),
    Refused(V, VOL, [volume(configMap={"name": "A_b"})], "configMap.name", "name of a Kubernetes object"),
    Refused(V, VOL, [volume(secret={"secretName": "A"})], "secret.secretName", "name of a Kubernetes object"),
    Refused(V, VOL, [volume(nfs={"server": "s", "path": "a"})], "nfs.path", "must be an absolute path on the server"),
    Refused(V, VOL, [volume(nfs={"server": "s", "path": "/a/.."})], "nfs.path", "must not contain a '..' segment"),
    Refused(V, VOL, [volume(csi={"driver": "a/b"})], "csi.driver", "should match"),
    Refused(V, "spec.artifact.digest", "md5:1", "spec.artifact.digest", "should match '^sha256:[0-9a-f]{64}$'"),
    # Adapter
    Refused(V, "spec.adapter.module", "a-b", "spec.adapter.module", "should match"),
    Refused(V, "spec.adapter.className", "a.b", "spec.adapter.className", "should match"),
    Refused(
        V,
        "spec.adapter",
        {"image": "vllm", "contract": "None", "className": "A"},
        "spec.adapter",
        "spec.adapter.module and spec.adapter.className need contract: Topgraft",
    ),
    # Lineage
    *(
        Refused(
            V,
            "spec.lineage.trainingDataHash",
            value,
            "spec.lineage.trainingDataHash",
            "should match '^sha256:[0-9a-f]{64}$'",
        )
        for value in ("", "0" * 64, DIGEST[:-1], DIGEST.upper())
    ),
    Refused(
        V, "spec.lineage.hyperparameters", {"rate": 0.1}, "spec.lineage.hyperparameters.rate", "must be of type string"
    ),
    Refused(V, "spec.lineage.featureParameters", {"": "1"}, "spec.lineage.featureParameters", "keys of 1 to 253"),
    *(
        Refused(V, "spec.testTag", value, "spec.testTag", reason)
        for value, reason in (
            ("", "at least 1 chars"),
            ("v1 testenv", "should match"),
            ("-v1", "should match"),
            ("v1.", "should match"),
            ("v" * 64, "63"),
        )
    ),
    # Aliases and the sandbox
    *(
        Refused(M, "spec.aliases", {name: "digits-1"}, "spec.aliases", reason)
        for name, reason in (
            ("a b", "names may only contain alphanumerics, underscores (_), and dashes (-)"),
            ("", "must have keys of 1 to 63 characters"),
            ("a" * 64, "must have keys of 1 to 63 characters"),
            ("Latest", "must not have a key that is reserved"),
            ("v3", "must not have a key that is reserved"),
            ("serving", "must not have a key that is reserved"),
        )
    ),
    Refused(M, "spec.aliases", {"a": "Digits"}, "spec.aliases", "must be a DNS label"),
    Refused(M, "spec.aliases", {f"a{i}": "digits-1" for i in range(33)}, "spec.aliases", "32"),
    Refused(M, "spec.sandbox", {}, "spec.sandbox.version", "Required value"),
    Refused(M, "spec.sandbox", {"version": "a.b"}, "spec.sandbox.version", "must be a DNS label"),
    Refused(M, "spec.sandbox", {"version": "a", "ttlSeconds": 59}, "spec.sandbox.ttlSeconds", "equal to 60"),
    Refused(M, "spec.sandbox", {"version": "a", "ttlSeconds": 604801}, "spec.sandbox.ttlSeconds", "equal to 604800"),
    # The head
    Refused(V, "spec.headConversion", {"mode": "Always"}, "spec.headConversion.mode", '"Auto", "Require", "Off"'),
    *(
        Refused(V, "spec.headConversion", {"headName": name}, "spec.headConversion.headName", reason)
        for name, reason in (
            ("", "at least 1 chars"),
            ("a.b", "should match"),
            ("-a", "should match"),
            ("a" * 64, "63"),
        )
    ),
    Refused(
        V,
        "spec",
        {
            "modelRef": {"name": "digits"},
            "artifact": {"volumes": [VOLUME]},
            "adapter": {"image": "vllm", "contract": "None"},
            "headConversion": {},
        },
        "spec.headConversion",
        "spec.headConversion needs spec.adapter.contract: Topgraft",
    ),
    Refused(M, "spec.lineagePolicy", "Deny", "spec.lineagePolicy", '"Enforce", "Warn"'),
    Refused(V, "spec.revision", -1, "spec.revision", "greater than or equal to 0"),
    # Ports
    Refused(M, "spec.serving.ports", ports(("api", 80)), "spec.serving.ports", "must have a port with the name http"),
    Refused(M, "spec.serving.ports", ports(("http", 80), ("http", 81)), "spec.serving.ports[1]", "Duplicate value"),
    Refused(
        M, "spec.serving.ports", ports(("http", 80), ("b", 80)), "spec.serving.ports", "every port number only once"
    ),
    Refused(
        M,
        "spec.serving.ports",
        ports(("http", 80, 8080), ("b", 8080)),
        "spec.serving.ports",
        "every containerPort only once",
    ),
    Refused(M, "spec.serving.ports", ports(("http", 0)), "spec.serving.ports[0].port", "greater than or equal to 1"),
    Refused(
        M, "spec.serving.ports", ports(("http", 65536)), "spec.serving.ports[0].port", "less than or equal to 65535"
    ),
    Refused(M, "spec.serving.ports", ports(("HTTP", 80)), "spec.serving.ports[0].name", "must be a port's name"),
    Refused(M, "spec.serving.ports", ports(("a" * 16, 80)), "spec.serving.ports[0].name", "15"),
    # Serving
    Refused(M, ROUTE, {}, "spec.serving.httpRoute.parentRefs", "Required value"),
    Refused(M, ROUTE, {"parentRefs": []}, "parentRefs", "should have at least 1 items"),
    Refused(M, ROUTE, {"parentRefs": many(9)}, "parentRefs", "must have at most 8 items"),
    Refused(M, ROUTE, {"parentRefs": [GATEWAY, GATEWAY]}, "parentRefs", "only once"),
    Refused(M, ROUTE, {"parentRefs": [{"name": "A"}]}, "parentRefs[0].name", "name of a Kubernetes object"),
    Refused(M, ROUTE, {"parentRefs": [{**GATEWAY, "port": 0}]}, "parentRefs[0].port", "greater than or equal to 1"),
    Refused(M, ROUTE, route(hostnames=["a:80"]), "hostnames[0]", "must be a host name such as"),
    Refused(M, ROUTE, route(hostnames=["A.example"]), "hostnames[0]", "in lower case"),
    Refused(M, ROUTE, route(hostnames=["a.*.example"]), "hostnames[0]", "must be a host name such as"),
    Refused(M, ROUTE, route(hostnames=[f"h{i}.example" for i in range(17)]), "hostnames", "must have at most 16 items"),
    Refused(M, ROUTE, route(pathPrefix="v2"), "pathPrefix", "must be an absolute path"),
    Refused(M, ROUTE, route(pathPrefix="/a//b"), "pathPrefix", "must be an absolute path"),
    Refused(M, ROUTE, route(headerMatches=[{**BETA, "header": "a b"}]), "headerMatches[0].header", "should match"),
    Refused(M, ROUTE, route(headerMatches=[{**BETA, "value": ""}]), "headerMatches[0].value", "at least 1 char"),
    Refused(M, ROUTE, route(headerMatches=[{**BETA, "branch": "A"}]), "headerMatches[0].branch", "must be a DNS label"),
    Refused(M, ROUTE, route(headerMatches=[BETA, {**BETA, "header": "x-TRY"}]), "headerMatches", "only once"),
    Refused(M, ROUTE, route(headerMatches=[{**BETA, "value": f"{i}"} for i in range(9)]), "headerMatches", "at most 8"),
    Refused(M, ROUTE, route(pathPrefix="/a?b"), "pathPrefix", "must be an absolute path"),
    Refused(M, "spec.serving.replicas", -1, "spec.serving.replicas", "greater than or equal to 0"),
    Refused(M, "spec.serving.replicas", "2", "spec.serving.replicas", "must be of type integer"),
    Refused(M, "spec.serving.service.type", "ExternalName", "spec.serving.service.type", '"ClusterIP", "NodePort"'),
    Refused(
        M, "spec.serving.volumes", [{"name": "a", "mountPath": "/a"}], "spec.serving.volumes[0]", "exactly one source"
    ),
    Refused(
        M,
        "spec.serving.volumes",
        [{"name": "a", "mountPath": "/a", "emptyDir": {}, "secret": {"secretName": "s"}}],
        "spec.serving.volumes[0]",
        "exactly one source of emptyDir, configMap, secret",
    ),
    Refused(
        M,
        "spec.serving.volumes",
        [{"name": "artifact-a", "mountPath": "/a", "emptyDir": {}}],
        "spec.serving.volumes[0]",
        "must not be named artifact-… or topgraft-tmp nor be mounted at /tmp",
    ),
    Refused(
        M,
        "spec.serving.volumes",
        many(2, mountPath="/a", emptyDir={}),
        "spec.serving.volumes",
        "every volume must have a mountPath of its own",
    ),
    Refused(
        M,
        "spec.serving.volumes",
        [{"name": "a", "mountPath": "/a", "emptyDir": {"sizeLimit": "big"}}],
        "emptyDir.sizeLimit",
        "should match",
    ),
    Refused(
        M, "spec.serving.probes.readinessPath", "ready", "spec.serving.probes.readinessPath", "must start with '/'"
    ),
    Refused(
        M, "spec.serving.probes.startupSeconds", 0, "spec.serving.probes.startupSeconds", "greater than or equal to 1"
    ),
    Refused(
        M, "spec.serving.probes.timeoutSeconds", 61, "spec.serving.probes.timeoutSeconds", "less than or equal to 60"
    ),
    Refused(M, "spec.serving.probes.failureThreshold", 0, "spec.serving.probes.failureThreshold", "equal to 1"),
    Refused(M, "spec.serving.resources.limits", {"cpu": "much"}, "spec.serving.resources.limits.cpu", "should match"),
    Refused(M, "spec.serving.resources.limits", {"cpu": True}, "spec.serving.resources.limits.cpu", "must be of type"),
    *(
        Refused(M, f"spec.serving.{field}", {key: "x"}, f"spec.serving.{field}", "Topgraft sets these")
        for field in ("podLabels", "podAnnotations", "service.annotations")
        for key in ("topgraft.dev/version", "app.kubernetes.io/managed-by")
    ),
    *(
        Refused(M, f"spec.serving.{field}", {"a b": "x"}, f"spec.serving.{field}", "must have keys of the form")
        for field in ("podLabels", "podAnnotations", "nodeSelector")
    ),
    Refused(M, "spec.serving.podLabels", {"a": "b c"}, "spec.serving.podLabels.a", "should match"),
    Refused(
        M,
        "spec.serving.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        [{**TERM, "topologyKey": ""}],
        "topologyKey",
        "at least 1 chars",
    ),
    Refused(
        M,
        "spec.serving.topologySpreadConstraints",
        [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "spec.serving.topologySpreadConstraints[0].maxSkew",
        "greater than or equal to 1",
    ),
    Refused(M, "spec.serving.tolerations", [{"operator": "Maybe"}], "spec.serving.tolerations[0].operator", '"Exists"'),
    # Variables, the same in all three places
    *(
        Refused(kind, path, env, f"{path}[0]{field}", reason)
        for kind, path in ((M, "spec.serving.env"), (V, "spec.adapter.env"), (U, "spec.adapter.env"))
        for env, field, reason in (
            ([{"name": "A=B", "value": "x"}], ".name", "must be a variable's name"),
            ([{"name": "1A", "value": "x"}], ".name", "must be a variable's name"),
            *(
                ([{"name": name, "value": "1"}], ".name", "must not be a variable that Topgraft itself sets")
                for name in ("TOPGRAFT_PORT", "TOPGRAFT_ADAPTERS", "TOPGRAFT_HEAD_CONVERSION")
            ),
            ([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}], "", "not both"),
            ([{"name": "A", "valueFrom": {}}], ".valueFrom", "must have exactly one of configMapKeyRef"),
            (
                [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "S", "key": "k"}}}],
                ".valueFrom.secretKeyRef.name",
                "name of a Kubernetes object",
            ),
        )
    ),
    Refused(M, "spec.serving.env", many(65, value="x"), "spec.serving.env", "must have at most 64 items"),
    Refused(
        V, "spec.adapter.env", many(5, value="x" * 32768), "spec.adapter.env", "at most 131072 characters together"
    ),
    Refused(V, "spec.adapter.env", [{"name": "A"}, {"name": "A"}], "spec.adapter.env[1]", "Duplicate value"),
    # Policies
    Refused(
        M,
        "spec.strategy",
        {"failFastSeconds": 601},
        "spec.strategy",
        "spec.strategy.failFastSeconds must not be greater than spec.strategy.progressDeadlineSeconds",
    ),
    Refused(
        M,
        "spec.strategy.progressDeadlineSeconds",
        0,
        "spec.strategy.progressDeadlineSeconds",
        "greater than or equal to 1",
    ),
    Refused(M, "spec.rollback.bakeSeconds", -1, "spec.rollback.bakeSeconds", "greater than or equal to 0"),
    Refused(U, "spec.rollback.standbySeconds", -1, "spec.rollback.standbySeconds", "greater than or equal to 0"),
    Refused(U, "spec.rollback.standbyReplicas", -1, "spec.rollback.standbyReplicas", "greater than or equal to 0"),
    Refused(M, "spec.versionHistoryLimit", 101, "spec.versionHistoryLimit", "less than or equal to 100"),
    # Texts
    *(
        refusal
        for kind in (M, V)
        for refusal in (
            Refused(kind, "spec.notes", "x" * 65537, "spec.notes", "65536"),
            Refused(kind, "spec.notes", "ä" * 32769, "spec.notes", "must be at most 65536 bytes long in UTF-8"),
            Refused(kind, "spec.description", "x" * 1025, "spec.description", "1024"),
            Refused(kind, "spec.metadata", {f"k{i}": "v" for i in range(129)}, "spec.metadata", "at most 128 items"),
            Refused(kind, "spec.metadata", {"k" * 254: "v"}, "spec.metadata", "must have keys of 1 to 253 characters"),
            Refused(kind, "spec.metadata", {"k": 1}, "spec.metadata.k", "must be of type string"),
        )
    ),
    Refused(M, "spec.languages", ["en", "en"], "spec.languages[1]", "Duplicate value"),
    Refused(M, "spec.useCases", [f"u{i}" for i in range(65)], "spec.useCases", "must have at most 64 items"),
    # Infos of a version
    Refused(V, f"{INFO}.params", {"threshold": 0.5}, f"{INFO}.params.threshold", "must be of type string"),
    Refused(V, f"{INFO}.params", {f"p{i}": "1" for i in range(65)}, f"{INFO}.params", "at most 64 items"),
    Refused(V, f"{INFO}.params", {"a": "x" * 4097}, f"{INFO}.params.a", "4096"),
    Refused(
        V, INFO, {"paramsSpecs": [{"name": "a", "required": True}]}, INFO, "must have every param that paramsSpecs"
    ),
    *(
        Refused(V, INFO, {"params": {"a": value}, "paramsSpecs": [{"name": "a", **spec}]}, INFO, reason)
        for value, spec, reason in (
            ("slow", {"choices": ["fast", "exact"]}, "must have one of the choices that paramsSpecs names"),
            ("5.0", {"type": "Integer"}, "must have values of the type that paramsSpecs gives them"),
            ("high", {"type": "Number"}, "must have values of the type that paramsSpecs gives them"),
            ("yes", {"type": "Boolean"}, "must have values of the type that paramsSpecs gives them"),
        )
    ),
    Refused(V, f"{INFO}.paramsSpecs", [{"name": "a", "type": "Date"}], f"{INFO}.paramsSpecs[0].type", '"Json"'),
    Refused(V, f"{INFO}.paramsSpecs", [{"name": "a"}, {"name": "a"}], f"{INFO}.paramsSpecs[1]", "Duplicate value"),
    Refused(V, f"{INFO}.data", {"concepts": [{"name": "Zero"}]}, f"{INFO}.data.concepts[0].id", "Required value"),
    Refused(V, f"{INFO}.data", {"concepts": [{"id": "a"}, {"id": "a"}]}, f"{INFO}.data.concepts[1]", "Duplicate value"),
    Refused(V, f"{INFO}.outputConfig", {"maxConcepts": -1}, "maxConcepts", "greater than or equal to 0"),
    Refused(V, f"{INFO}.outputConfig", {"minValue": "low"}, "minValue", "must be a number that is not negative"),
    Refused(V, f"{INFO}.outputConfig", {"sampleMs": 0}, "sampleMs", "greater than or equal to 1"),
    Refused(V, f"{INFO}.fieldsMap", {"a": ""}, f"{INFO}.fieldsMap.a", "at least 1 chars"),
    Refused(V, "spec.inputInfo.params", {"": "x"}, "spec.inputInfo.params", "must have keys of 1 to 253 characters"),
    Refused(V, "spec.inputInfo.baseEmbedModel", {"model": "A"}, "baseEmbedModel.model", "must be a DNS label"),
    Refused(V, "spec.trainInfo.params", {"epochs": 3}, "spec.trainInfo.params.epochs", "must be of type string"),
    Refused(V, "spec.trainInfo.dataset", {"version": "1"}, "spec.trainInfo.dataset.name", "Required value"),
    Refused(V, "spec.trainInfo.resumeFromModel", {"model": "a", "version": "B"}, "version", "must be a DNS label"),
    Refused(V, f"{TRAIN}.image", "a b", f"{TRAIN}.image", "must be an image reference"),
    Refused(V, TRAIN, {"args": []}, f"{TRAIN}.image", "Required value"),
    Refused(V, f"{TRAIN}.backoffLimit", -1, f"{TRAIN}.backoffLimit", "greater than or equal to 0"),
    Refused(V, f"{TRAIN}.activeDeadlineSeconds", 0, f"{TRAIN}.activeDeadlineSeconds", "greater than or equal to 1"),
    Refused(
        V, TRAIN, {"image": "a", "labels": {"topgraft.dev/model": "x"}}, f"{TRAIN}.labels", "starts with topgraft.dev/"
    ),
    Refused(
        V,
        TRAIN,
        {"image": "a", "volumes": [{"name": "a", "mountPath": "/a"}]},
        f"{TRAIN}.volumes[0]",
        "must have exactly one source of persistentVolumeClaim, configMap, secret",
    ),
    Refused(
        V,
        TRAIN,
        {"image": "a", "volumes": [{"name": n, "mountPath": "/a", "configMap": {"name": "a"}} for n in "ab"]},
        f"{TRAIN}.volumes",
        "every volume must have a mountPath of its own",
    ),
    Refused(V, "spec.importInfo.params", {"a": True}, "spec.importInfo.params.a", "must be of type string"),
    Refused(M, "spec.outputInfo", {}, "spec.outputInfo", "unknown field"),
    # Strategies and verification
    Refused(M, "spec.strategy", {"type": "Canary"}, "spec.strategy", "canary and type: Canary need each other"),
    *(
        Refused(M, "spec.strategy", {"type": "Canary", "canary": {"steps": steps}}, "canary", "weights that grow")
        for steps in ([{"weight": 50}, {"weight": 10}], [{"weight": 50}, {"weight": 50}])
    ),
    Refused(
        M, "spec.rollback", {"bakeSeconds": 9, "maxBakeSeconds": 8}, "spec.rollback", "must not be smaller than bake"
    ),
    Refused(M, SMOKE, [{"name": "a"}], f"{SMOKE}[0]", "must have a path: only V2 and OpenAI have one by default"),
    Refused(M, SMOKE, [{"name": "a", "path": "x"}], f"{SMOKE}[0].path", "must be an absolute path such as /v2/hea"),
    Refused(M, SMOKE, [{"name": "A", "path": "/"}], f"{SMOKE}[0].name", "must be a DNS label"),
    Refused(M, SMOKE, expecting({"path": "x"}), "jsonPath[0].path", "must be a JSONPath that starts with $"),
    Refused(
        M,
        SMOKE,
        expecting({"path": "$", "equals": "1", "matches": "1"}),
        "jsonPath[0]",
        "at most one of equals and matches",
    ),
    Refused(M, GOLDEN, {}, GOLDEN, "must have exactly one source of configMap, persistentVolumeClaim"),
    Refused(M, GOLDEN, {**FILE, "compare": "Roughly"}, f"{GOLDEN}.compare", '"Exact", "Tolerance", "TopOne", "None"'),
    Refused(M, GOLDEN, {**FILE, "compare": "Tolerance"}, GOLDEN, "compare: Tolerance needs at least one entry"),
    Refused(M, GOLDEN, {**FILE, "tolerances": [{"absolute": "1"}]}, GOLDEN, "tolerances need compare: Tolerance"),
    Refused(
        M,
        GOLDEN,
        {**FILE, "compare": "Tolerance", "tolerances": [{"absolute": "-1"}]},
        f"{GOLDEN}.tolerances[0].absolute",
        "must be a number that is not negative, as a string",
    ),
    Refused(M, "spec.verification.metrics", {"source": "Prometheus"}, "metrics", "queries and source: Prometheus need"),
    # Branches
    Refused(M, "spec.branches", [{"name": "a"}], "spec.branches[0]", "must have exactly one of version and objective"),
    Refused(
        M,
        "spec.branches",
        [{"name": "a", "version": "v", "objective": "o"}],
        "spec.branches[0]",
        "must have exactly one",
    ),
    *(
        Refused(
            M, "spec.branches", [{"name": name, "version": "v"}], "spec.branches[0].name", "must not be candidate or"
        )
        for name in ("candidate", "sandbox")
    ),
    Refused(M, "spec.branches", [{"name": "A", "version": "v"}], "spec.branches[0].name", "must be a DNS label"),
    Refused(
        M, "spec.branches", [{"name": "a" * 62, "version": "v"}], "spec.branches", "at most 62 characters together"
    ),
    Refused(M, "spec.branches", many(9, version="v"), "spec.branches", "must have at most 8 items"),
    Refused(
        M, "spec.branches", many(1, version="v", replicas=-1), "spec.branches[0].replicas", "greater than or equal to 0"
    ),
    # Objectives
    Refused(M, OBJECTIVES, [{"name": "Q"}], f"{OBJECTIVES}[0].name", "must be a DNS label"),
    Refused(M, OBJECTIVES, many(9), OBJECTIVES, "must have at most 8 items"),
    Refused(M, OBJECTIVES, many(2, releases=released((1, "Production"))), OBJECTIVES, "at most one objective may have"),
    Refused(M, OBJECTIVES, checked(type="Automatic"), f"{OBJECTIVES}[0].checks[0].type", '"Manual", "Metric"'),
    Refused(M, OBJECTIVES, checked(type="Metric"), f"{OBJECTIVES}[0].checks[0]", "metric and type: Metric need each"),
    Refused(M, OBJECTIVES, metric(), f"{OBJECTIVES}[0].checks[0].metric", "must have min or max"),
    Refused(M, OBJECTIVES, metric(min="2", max="1.5"), "checks[0].metric", "must have a min of at most max"),
    Refused(M, OBJECTIVES, metric(min="high"), "checks[0].metric.min", "must be a decimal number, as a string"),
    Refused(
        M,
        OBJECTIVES,
        checked(type="Metric", metric={"name": "a", "min": "1"}, approvers=["ana"]),
        f"{OBJECTIVES}[0].checks[0]",
        "approvers need type: Manual",
    ),
    Refused(
        M, OBJECTIVES, objective(releases=released((0, "Staging"))), f"{RELEASES}[0].number", "greater than or equal"
    ),
    Refused(M, OBJECTIVES, objective(releases=released((1, "Test"))), "environment", '"Staging", "Production"'),
    Refused(M, OBJECTIVES, objective(releases=released((1, "Staging"), (1, "Staging"))), f"{RELEASES}[1]", "Duplicate"),
    Refused(M, OBJECTIVES, objective(releases=[{"number": 1}]), f"{RELEASES}[0].version", "Required value"),
    Refused(V, OBJECTIVES, many(9), OBJECTIVES, "must have at most 8 items"),
    Refused(
        V,
        OBJECTIVES,
        objective(reviews=[{"check": "c", "by": "ana", "decision": "Maybe"}]),
        f"{OBJECTIVES}[0].reviews[0].decision",
        '"Approve", "Reject", "Comment"',
    ),
    Refused(V, OBJECTIVES, objective(metrics={"accuracy": 0.9}), "metrics.accuracy", "must be of type string"),
    Refused(
        M, "spec.verification.limits", {"maxKLDivergence": "low"}, "maxKLDivergence", "must be a number that is not"
    ),
]


@pytest.mark.parametrize(
    "case", REFUSED, ids=lambda case: f"{case.kind}-{case.path}-{str(case.value)[:40]}-{case.reason[:20]}"
)
def test_a_bad_object_is_refused_with_field_and_reason(shared_objects: Objects, case: Refused) -> None:
    said = shared_objects.refusal(changed(minimal(case.kind), case.path, case.value))
    assert said, "accepted"
    assert case.field in said
    assert case.reason in said


OF_CHANGES = {"version must stay what it was when the number was given: make a release with a new number"}
"""Rules about two states of one object; tried in test_immutable.py."""


def test_no_rule_is_forgotten() -> None:
    """Each CEL rule has an object above that it refuses; those of immutable fields are tried beside this file."""
    written = {text for path in CRDS.glob("*.yaml") for text in messages_of(schema_of(path))}
    assert [
        text
        for text in written
        if text not in OF_CHANGES and "is immutable" not in text and not any(case.reason in text for case in REFUSED)
    ] == []


ACCEPTED: list[tuple[str, str, Any]] = [
    (M, "metadata.name", "a" * 53),
    (M, "metadata.name", "a"),
    (V, "metadata.name", "9" * 63),
    (U, "metadata.name", "digits.v2"),
    *(
        (kind, "spec.adapter.image", image)
        for kind in (V, U)
        for image in (
            "digits",
            "digits:v1",
            "localhost:5000/digits",
            "registry.example:5000/team/sub_dir/digits-x.y:V1.0_2",
            f"registry.example/digits@{DIGEST}",
            f"registry.example/digits:v1@{DIGEST}",
            "[2001:db8::1]:5000/digits:v1",
            "10.0.0.1:5000/a__b/c--d:v1",
        )
    ),
    (V, VOL, [{**VOLUME, "name": f"v{i}", "mountPath": f"/v{i}"} for i in range(8)]),
    (V, VOL, [volume(persistentVolumeClaim={"claimName": "c", "subPath": "a/b..c/.d"})]),
    (V, VOL, [volume(image={"reference": f"registry.example/w:v1@{DIGEST}"})]),
    (V, VOL, [volume(configMap={"name": "a.b-c"})]),
    (V, VOL, [volume(secret={"secretName": "s"})]),
    (V, VOL, [volume(nfs={"server": "10.0.0.1", "path": "/"})]),
    (V, VOL, [volume(csi={"driver": "csi.example.com"})]),
    (V, f"{VOL}.0.mountPath", "/a/..b/c..d/…"),
    (V, "spec.artifact.digest", DIGEST),
    (V, "spec.artifact", {"containers": [BESIDE]}),
    (V, BOX, [{**BESIDE, "ports": [8000, 8001], "readinessPath": "/v2/health/ready"}]),
    (V, "spec.artifact", {"external": {"baseUrl": "https://models.example:8443/v1", "secretRef": {"name": "token"}}}),
    (V, "spec.adapter", {"image": "vllm", "contract": "None", "args": ["--model", "/artifacts"]}),
    (V, "spec.adapter.module", "a.b_c.d1"),
    (V, "spec.lineage", {"trainingDataHash": DIGEST, "featureParameters": {}, "hyperparameters": {"rate": "0.1"}}),
    (V, "spec.headConversion", {}),
    (V, "spec.headConversion", {"mode": "Off", "headName": "a-B_9"}),
    (V, "spec.testTag", "v2.3.1_testenv"),
    (V, "spec.testTag", "v" * 63),
    (M, "spec.lineagePolicy", "Enforce"),
    (M, "spec.aliases", {"test_baseline": "digits-1", "v3_test": "digits-2", "-": "d"}),
    (M, "spec.aliases", {f"a{i}": "d" * 63 for i in range(32)}),
    (M, "spec.sandbox", {"version": "digits-1", "ttlSeconds": 60, "testSuite": {}}),
    *(
        (U, "spec", {"modelRef": {"name": "digits"}, "reason": "BugFix", **spec})
        for spec in (
            {"target": {"tag": "v1.0_2-x"}},
            {"target": {"commit": "0" * 40}},
            {"target": {"latest": True}, "adapter": {"args": ["--fast"]}},
        )
    ),
    (V, "spec.revision", 0),
    (
        V,
        "spec.artifact.compatibility",
        ["numpy", "numpy>=1.26,<3", "A.b_c-d == 1.5.*", "torch==2.13.0+cpu.x", "x ~= 1.4rc1, != 1.5.post2.dev3"],
    ),
    *(
        (V, PEFT, value)
        for value in (
            lora(),
            lora(name=" sql ", location="/artifacts/a b", fineTuningJobRef={"id": ""}, promptRef={"id": ""}),
            lora(**HUB, huggingfaceName="org/sql"),
            lora(**REGISTRY, cmlRegisteredModelId="model-1", mlflow={"experimentId": "3", "runId": "f00"}),
            [{**LORA, "name": f"a{i}", "location": "x" * 1024} for i in range(32)],
        )
    ),
    (M, "spec.mlflow", {}),
    (M, "spec.mlflow.registeredModel", "A b.c_d-1"),
    (M, JOBS, [{"id": "j", "adapterName": "a-1", "datasetFraction": "1", "trainTestSplit": "0.05"}]),
    (M, JOBS, [{"id": f"j{i}", "adapterName": "same", "datasetFraction": "1.0"} for i in range(64)]),
    *(
        (V, "spec.source", {"type": kind, "branch": "feature/x+y.1", "commit": "0" * 64, "tag": "v1"})
        for kind in ("CodeRepository", "CodeWorkspace", "ModelStudio", "Sdk", "ExternalModel", "ContainerImage")
    ),
    (V, "spec.source", {"type": "Promoted", "promoted": {"model": "a", "version": "b"}}),
    (V, "spec.outputInfo", {}),
    (
        V,
        "spec.outputInfo",
        {
            "params": {"i": "-5", "n": "1.5e-3", "b": "true", "j": "[1]", "s": "", "other": "x"},
            "paramsSpecs": [
                {"name": "i", "type": "Integer", "required": True},
                {"name": "n", "type": "Number"},
                {"name": "b", "type": "Boolean"},
                {"name": "j", "type": "Json"},
                {"name": "s", "type": "String", "choices": ["", "a"]},
                {"name": "absent", "type": "Integer"},
            ],
        },
    ),
    (V, "spec.outputInfo.data", {"concepts": [{"id": f"c{i}"} for i in range(1024)]}),
    (M, "spec.serving.ports", []),
    (M, "spec.serving.ports", ports(("http", 80, 8000), ("grpc", 9000))),
    (M, "spec.serving.replicas", 0),
    (M, "spec.serving.volumes", [{"name": "a", "mountPath": "/dev/shm", "emptyDir": {"medium": "Memory"}}]),
    (M, "spec.serving.resources.limits", {"cpu": 1, "memory": "1.5Gi", "nvidia.com/gpu": "1"}),
    (M, "spec.serving.podLabels", {"example.com/a-b_c": "x.Y", "empty": ""}),
    (M, "spec.serving.topologySpreadConstraints", []),
    (V, "spec.adapter.env", many(4, value="x" * 32768)),
    (M, "spec.serving.env", [{"name": "TOPGRAFT_ADAPTER", "value": "a:B"}, {"name": "my.var-x"}]),
    (M, "spec.serving.env", many(64, value="x")),
    (M, "spec.strategy", {"failFastSeconds": 600}),
    (M, "spec.rollback", {"bakeSeconds": 0, "standbySeconds": 0, "standbyReplicas": 0}),
    (M, OBJECTIVES, metric(min="-0.5", max="-0.5")),
    (M, "spec.branches", [{"name": "a", "version": "v", "replicas": 0}, {"name": "b", "objective": "quality"}]),
    (M, OBJECTIVES, many(8, releases=released(*((n, "Staging") for n in range(1, 65))))),
    (M, OBJECTIVES, objective(releases=released((1, "Production"), (2, "Staging"), (3, "Production")))),
    (V, OBJECTIVES, objective(reviews=[{"check": "c", "by": b, "decision": "Approve"} for b in ("ana", "bo")])),
    (M, "spec.notes", "ä" * 32768),
    (V, "spec.notes", "x" * 65536),
    (M, "spec.languages", ["en", "de"]),
    (U, "spec.rollback", {}),
    (U, "spec.verification", {"smoke": []}),
    (M, "spec.strategy", {"type": "Canary", "canary": {"steps": [{"weight": 1}, {"weight": 99, "pauseSeconds": 0}]}}),
    (M, SMOKE, [{"name": "chat", "protocol": "OpenAI"}]),
    (M, GOLDEN, {**FILE, "compare": "Tolerance", "tolerances": [{"absolute": "1e-5"}]}),
    (U, "spec.adapter.args", []),
]


@pytest.mark.parametrize(("kind", "path", "value"), ACCEPTED, ids=lambda value: str(value)[:40])
def test_a_good_object_is_accepted(shared_objects: Objects, kind: str, path: str, value: object) -> None:
    assert shared_objects.refusal(changed(minimal(kind), path, value)) == ""


@pytest.mark.parametrize("kind", [M, V, U])
def test_the_smallest_object_is_accepted(shared_objects: Objects, kind: str) -> None:
    assert shared_objects.refusal(minimal(kind)) == ""
