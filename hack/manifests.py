"""Generate what is derived from crds/ and the chart: the chart's CRDs and README table, manifests/, install.yaml.

    python hack/manifests.py            write the files
    python hack/manifests.py --check    fail when one of them is not current

Needs helm 4: the environment variable HELM, or `helm` on PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "topgraft"
PLACEHOLDER = "registry.example.com/topgraft"
NAMESPACE = "topgraft-system"
HEADER = "# Generated from charts/topgraft by hack/manifests.py: edit there, then run `make generate`.\n"
TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- /values -->)", re.DOTALL)

Body = dict[str, Any]


def helm() -> str:
    """Path of helm 4. Raises SystemExit with the remedy when there is none."""
    cached = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "topgraft" / "bin" / "helm"
    found = shutil.which(os.environ.get("HELM", "helm")) or shutil.which(cached)
    if not found:
        raise SystemExit("helm was not found: run `make tools`, or set HELM to the path of a helm 4 binary")
    return found


def render(*settings: str, namespace: str = NAMESPACE) -> list[Body]:
    """The chart's objects, in the order that helm prints them. `settings` are --set expressions."""
    command = [helm(), "template", "topgraft", str(CHART), "--namespace", namespace]
    for setting in (f"image.repository={PLACEHOLDER}", *settings):
        command += ["--set", setting]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [body for body in yaml.safe_load_all(done.stdout) if body]


def without_helm(body: Body) -> Body:
    """The object as kustomize owns it: nothing of helm's own bookkeeping is left."""
    for target in (body, body.get("spec", {}).get("template", {})):
        metadata = target.get("metadata", {})
        for field in ("labels", "annotations"):
            kept = {key: value for key, value in metadata.get(field, {}).items() if not key.startswith("helm.sh/")}
            kept = {k: "kustomize" if k == "app.kubernetes.io/managed-by" else v for k, v in kept.items()}
            kept.pop("app.kubernetes.io/instance", None)
            metadata.pop(field, None)
            if kept:
                metadata[field] = kept
    selector = body.get("spec", {}).get("selector", {})
    for labels in (selector, selector.get("matchLabels", {})):
        labels.pop("app.kubernetes.io/instance", None)
    return body


def dump(bodies: Iterable[Body]) -> str:
    return HEADER + "---\n".join(yaml.safe_dump(body, sort_keys=False, width=120) for body in bodies)


def kustomization(resources: Iterable[str], **more: Any) -> str:
    body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(resources),
        **more,
    }
    return dump([body])


def image_settings() -> Body:
    """The image, named once: kustomize's `images` reaches containers only, so the variable is copied from there."""
    tag = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    deployment = {"kind": "Deployment", "name": "topgraft"}
    return {
        "images": [{"name": PLACEHOLDER, "newName": PLACEHOLDER, "newTag": tag}],
        "replacements": [
            {
                "source": {**deployment, "fieldPath": "spec.template.spec.containers.[name=operator].image"},
                "targets": [
                    {
                        "select": deployment,
                        "fieldPaths": ["spec.template.spec.containers.[name=operator].env.[name=TOPGRAFT_IMAGE].value"],
                    }
                ],
            }
        ],
    }


def namespace_object() -> Body:
    restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}}


def argocd_config() -> str:
    """A patch of Argo CD's own ConfigMap. Wildcards are allowed under this one key only, hence the nested text."""
    script = (ROOT / "manifests" / "argocd" / "health.lua").read_text()
    customizations = f"topgraft.dev/*:\n  health.lua: |\n{textwrap.indent(script, '    ')}"
    return (
        HEADER.replace("charts/topgraft", "health.lua")
        + "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n"
        + f"data:\n  resource.customizations: |\n{textwrap.indent(customizations, '    ')}"
    )


def file_of(body: Body) -> str:
    """Where in manifests/ an object of the chart belongs."""
    kind, name = body["kind"], body["metadata"]["name"]
    if kind == "CustomResourceDefinition":
        return f"crds/{body['spec']['group']}_{body['spec']['names']['plural']}.yaml"
    if name.endswith(("-view", "-edit")):
        return "crds/user-roles.yaml"
    if name.endswith("-leader-election"):
        return "base/leader-election.yaml"
    if kind in ("ClusterRole", "ClusterRoleBinding"):
        return "cluster/rbac.yaml"
    if kind in ("Role", "RoleBinding"):
        return "namespaced/rbac.yaml"
    return f"base/{kind.lower()}.yaml"


def manifests() -> dict[str, str]:
    """Every generated file of manifests/: path below it -> content."""
    cluster = [without_helm(body) for body in render()]
    only_namespaced = [without_helm(body) for body in render(f"watchNamespaces={{{NAMESPACE}}}")]
    only_namespaced = [body for body in only_namespaced if file_of(body) == "namespaced/rbac.yaml"]
    grouped: dict[str, list[Body]] = {"cluster/namespace.yaml": [namespace_object()]}
    for body in (*cluster, *only_namespaced):
        grouped.setdefault(file_of(body), []).append(body)
    files = {path: dump(bodies) for path, bodies in grouped.items()}

    def names(folder: str) -> list[str]:
        return [path.removeprefix(folder + "/") for path in grouped if path.startswith(folder + "/")]

    own_namespace = [
        {"op": "add", "path": "/spec/template/spec/containers/0/args/1", "value": "--namespace=$(POD_NAMESPACE)"}
    ]
    files["crds/kustomization.yaml"] = kustomization(names("crds"))
    files["base/kustomization.yaml"] = kustomization(names("base"))
    files["cluster/kustomization.yaml"] = kustomization(
        ["../crds", "../base", *names("cluster")], namespace=NAMESPACE, **image_settings()
    )
    files["namespaced/kustomization.yaml"] = kustomization(
        ["../base", *names("namespaced")],
        namespace=NAMESPACE,
        patches=[{"target": {"kind": "Deployment", "name": "topgraft"}, "patch": yaml.safe_dump(own_namespace)}],
        **image_settings(),
    )
    first = [body for body in cluster if body["kind"] == "CustomResourceDefinition"]
    rest = [body for body in cluster if body["kind"] != "CustomResourceDefinition"]
    files["argocd/argocd-cm.yaml"] = argocd_config()
    files["install.yaml"] = dump([namespace_object(), *first, *rest])
    return files


def values() -> Iterator[tuple[str, str, str]]:
    """(path, default as JSON, description) of every documented value, in the order of values.yaml."""
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, data: Body, path: str) -> Iterator[tuple[str, str, str]]:
        for key, value in node.value:
            name, start = path + key.value, key.start_mark.line
            comment: list[str] = []
            while start and lines[start - 1].lstrip().startswith("#"):
                start -= 1
                comment.insert(0, lines[start].lstrip()[1:].strip())
            if comment:
                yield name, json.dumps(data[key.value]), " ".join(comment)
            elif isinstance(value, yaml.MappingNode):
                yield from walk(value, data[key.value], name + ".")
            else:
                raise SystemExit(f"values.yaml: {name} has no description: write one in a comment above it")

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    yield from walk(root, yaml.safe_load(text), "")


def readme() -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for name, default, description in values():
        rows.append(f"| `{name}` | `{default}` | {description.replace('|', chr(92) + '|')} |")
    text, count = TABLE.subn(lambda _: "\n" + "\n".join(rows) + "\n\n", (CHART / "README.md").read_text())
    if count != 1:
        raise SystemExit("charts/topgraft/README.md has lost its <!-- values --> marks")
    return text


def chart_files() -> dict[Path, str]:
    crds = {CHART / "files" / "crds" / path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    return {**crds, CHART / "README.md": readme()}


def manifest_files() -> dict[Path, str]:
    return {ROOT / "manifests" / path: content for path, content in manifests().items()}


def generated_folders() -> list[Path]:
    return [
        CHART / "files" / "crds",
        *(ROOT / "manifests" / name for name in ("crds", "base", "cluster", "namespaced")),
    ]


def stale(wanted: dict[Path, str]) -> list[Path]:
    """The wanted files that differ on disk, and those of the generated folders that nobody wants any more."""
    present = {path for folder in generated_folders() for path in folder.glob("*.yaml")}
    folders = {path.parent for path in wanted}
    left_over = {path for path in present - wanted.keys() if path.parent in folders}
    changed = {path for path, content in wanted.items() if not path.exists() or path.read_text() != content}
    return sorted(changed | left_over)


def write(wanted: dict[Path, str]) -> None:
    for path in stale(wanted):
        print(path.relative_to(ROOT))
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    if parser.parse_args().check:
        # The manifests are rendered from the chart's own CRDs, so a stale chart makes them meaningless.
        if old := stale(chart_files()) or stale(manifest_files()):
            sys.exit("not current, run `make generate`:\n" + "\n".join(f"  {path.relative_to(ROOT)}" for path in old))
        return
    write(chart_files())
    write(manifest_files())


if __name__ == "__main__":
    main()
