"""manifests/ holds what the chart holds, and every file that is generated is current."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from support import charts
from support.charts import kustomize, one
from topgraft.api.adapterupgrade import AdapterUpgradeSpec
from topgraft.api.model import ModelSpec
from topgraft.api.modelversion import ModelVersionSpec

import manifests

FOLDER = manifests.ROOT / "manifests"
SAMPLES = FOLDER / "samples"
SPECS: dict[str, type[BaseModel]] = {
    "Model": ModelSpec,
    "ModelVersion": ModelVersionSpec,
    "AdapterUpgrade": AdapterUpgradeSpec,
}
Objects = dict[tuple[str, str | None, str], dict[str, Any]]


def keyed(bodies: list[dict[str, Any]]) -> Objects:
    keys = [(b["kind"], b["metadata"].get("namespace"), b["metadata"]["name"]) for b in bodies]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, bodies, strict=True))


def of_chart(*settings: str) -> Objects:
    return keyed([manifests.without_helm(body) for body in charts.render(*settings)])


def overlay(folder: Path, target: str, text: str) -> Path:
    """A user's kustomization in `folder` over manifests/<target>."""
    relative = os.path.relpath(FOLDER / target, folder.resolve())
    (folder / "kustomization.yaml").write_text(text.replace(f"topgraft/manifests/{target}", relative))
    return folder


def test_every_generated_file_is_current() -> None:
    """After a failure: `make generate`."""
    assert manifests.stale(manifests.chart_files()) == []
    assert manifests.stale(manifests.manifest_files()) == []


def test_the_cluster_overlay_is_the_chart_and_its_namespace() -> None:
    objects = keyed(kustomize(FOLDER / "cluster"))
    namespace = objects.pop(("Namespace", None, manifests.NAMESPACE))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert objects == of_chart()


def test_the_namespaced_overlay_is_the_chart_without_anything_cluster_wide() -> None:
    objects = keyed(kustomize(FOLDER / "namespaced"))
    expected = of_chart(
        f'watchNamespaces=["{manifests.NAMESPACE}"]', "crds.enabled=false", "rbac.aggregateClusterRoles=false"
    )
    deployment = ("Deployment", manifests.NAMESPACE, "topgraft")
    args = expected[deployment]["spec"]["template"]["spec"]["containers"][0]["args"]
    args[args.index(f"--namespace={manifests.NAMESPACE}")] = "--namespace=$(POD_NAMESPACE)"
    assert objects == expected


def test_the_single_file_is_the_cluster_overlay() -> None:
    bodies = list(yaml.load_all((FOLDER / "install.yaml").read_text(), yaml.CSafeLoader))
    assert keyed(bodies) == keyed(kustomize(FOLDER / "cluster"))
    assert bodies[0]["kind"] == "Namespace"


def test_the_definitions_are_those_of_the_repository() -> None:
    for path in (manifests.ROOT / "crds").glob("*.yaml"):
        wanted = yaml.safe_load(path.read_text())
        assert yaml.safe_load((FOLDER / "crds" / path.name).read_text())["spec"] == wanted["spec"]


@pytest.mark.parametrize("name", ["cluster", "namespaced"])
def test_the_pods_pass_pod_security_restricted(name: str) -> None:
    (pod,) = charts.pod_templates(kustomize(FOLDER / name))
    assert charts.restricted_violations(pod) == []


def test_the_documented_overlay_sets_the_image_in_both_places(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (manifests.ROOT / "docs" / "install.md").read_text(), re.DOTALL)
    (text,) = [block for block in blocks if "kind: Kustomization" in block]
    bodies = kustomize(overlay(tmp_path, "cluster", text))
    (container,) = one(bodies, "Deployment")["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert container["image"] == env["TOPGRAFT_IMAGE"] == "registry.my-company.example/ml/topgraft:0.1.0"


def test_the_namespaced_overlay_moves_to_another_namespace(tmp_path: Path) -> None:
    bodies = kustomize(
        overlay(tmp_path, "namespaced", "namespace: team-a\nresources: [topgraft/manifests/namespaced]\n")
    )
    assert {body["metadata"]["namespace"] for body in bodies} == {"team-a"}
    bindings = charts.of_kind(bodies, "RoleBinding")
    assert {binding["subjects"][0]["namespace"] for binding in bindings} == {"team-a"}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("[am]*.yaml")), ids=lambda p: p.name)
def test_the_samples_are_valid(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    SPECS[body["kind"]].model_validate(body["spec"])


def test_the_samples_cover_every_kind_and_belong_together() -> None:
    bodies = [yaml.safe_load(path.read_text()) for path in SAMPLES.glob("[am]*.yaml")]
    assert {body["kind"] for body in bodies} == SPECS.keys()
    references = {body["spec"]["modelRef"]["name"] for body in bodies if body["kind"] != "Model"}
    assert references == {body["metadata"]["name"] for body in bodies if body["kind"] == "Model"}
    assert {body["kind"] for body in kustomize(SAMPLES)} == {"Model", "ModelVersion"}


def test_the_argo_cd_application_gives_values_that_the_chart_takes() -> None:
    operator, models = yaml.safe_load_all((FOLDER / "argocd" / "application.yaml").read_text())
    source = operator["spec"]["source"]
    assert manifests.ROOT / source["path"] == manifests.CHART
    assert charts.render(*(f"{name}={json.dumps(value)}" for name, value in source["helm"]["valuesObject"].items()))
    assert models["metadata"]["annotations"]["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"
