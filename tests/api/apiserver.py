"""The real API server, by kubectl and by the API itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

CRDS = Path(__file__).resolve().parents[2] / "crds"
GROUP, VERSION = "topgraft.dev", "v1alpha1"
PLURALS = {"Model": "models", "ModelVersion": "modelversions", "AdapterUpgrade": "adapterupgrades"}


class Kubectl:
    """The real kubectl, always with a time limit."""

    def __init__(self, namespace: str | None = None) -> None:
        self.command = [os.environ.get("KUBECTL", "kubectl"), "--request-timeout=20s"]
        if namespace:
            self.command += ["--namespace", namespace]

    def run(self, *arguments: str, body: object = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl, with `body` (one object or several) as its standard input."""
        text = None
        if body is not None:
            text = "\n---\n".join(json.dumps(item) for item in (body if isinstance(body, list) else [body]))
        return subprocess.run(
            [*self.command, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
        )

    def __call__(self, *arguments: str, body: object = None) -> str:
        """Run kubectl, which must succeed, and return what it prints."""
        done = self.run(*arguments, body=body)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object as the API server has it."""
        body: dict[str, Any] = json.loads(self("get", kind, name, "--output=json"))
        return body


class Objects:
    """The three kinds in one namespace, through the API itself: fast enough for hundreds of tries."""

    def __init__(self, api: client.CustomObjectsApi, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def create(self, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create the object as `kubectl create --validate=strict` does."""
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        made: Any = self.api.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURALS[body["kind"]], body, field_validation="Strict", **options
        )
        return dict(made)

    def refusal(self, body: dict[str, Any]) -> str:
        """What the API server says against creating the object, or "" when it would accept it."""
        return self._refusal(lambda: self.create(body, dry_run=True))

    def refusal_of_update(self, body: dict[str, Any]) -> str:
        """What the API server says against replacing the object's stored form, or ""."""
        live = self.read(body["kind"], body["metadata"]["name"])
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}}
        return self._refusal(
            lambda: self.api.replace_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURALS[body["kind"]],
                body["metadata"]["name"],
                body,
                dry_run="All",
                field_validation="Strict",
            )
        )

    def read(self, kind: str, name: str) -> dict[str, Any]:
        live: Any = self.api.get_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURALS[kind], name)
        return dict(live)

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        done: Any = self.api.patch_namespaced_custom_object_status(
            GROUP, VERSION, self.namespace, PLURALS[kind], name, {"status": status}
        )
        return dict(done)

    def refusal_of_status(self, kind: str, name: str, status: dict[str, Any]) -> str:
        """What the API server says against the status, or "" when it took it."""
        return self._refusal(lambda: self.patch_status(kind, name, status))

    @staticmethod
    def _refusal(call: Callable[[], object]) -> str:
        try:
            call()
        except client.ApiException as error:
            if error.status not in {400, 422}:
                raise
            return str(json.loads(error.body or "{}")["message"])
        return ""


def kind_of(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["spec"]["names"]["kind"])


def schema_of(path: Path) -> Any:
    return yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def messages_of(node: Any) -> list[str]:
    """The messages of all rules: a schema that is not yet served shows itself by them."""
    if isinstance(node, dict):
        # Where an expression makes the text, the message is for readers of the reference alone.
        rules = [rule for rule in node.get("x-kubernetes-validations", []) if "messageExpression" not in rule]
        own = [rule["message"] for rule in rules if "message" in rule]
        return sorted(own + [text for inner in node.values() for text in messages_of(inner)])
    if isinstance(node, list):
        return [text for inner in node for text in messages_of(inner)]
    return []


def served_by(kubectl: Kubectl) -> dict[str, list[str]]:
    answer = kubectl.run("get", "--raw", f"/openapi/v3/apis/{GROUP}/{VERSION}")
    if answer.returncode:
        return {}
    schemas = json.loads(answer.stdout)["components"]["schemas"]
    return {
        kind: messages_of(schema)
        for kind in PLURALS
        for name, schema in schemas.items()
        if name.endswith(f".{VERSION}.{kind}")
    }
