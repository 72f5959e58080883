"""The Gateway API in a test's cluster: its CRDs, and a Gateway's controller that answers when the test says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.live import ROOT, Body, Kubectl

MODULE = ROOT / "hack/localcluster/gatewayapi"
KINDS = ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies")


def crds() -> list[Path]:
    """The standard channel's CRDs, from the Go module that hack/localcluster/gatewayapi pins by its hash."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("the Gateway API's CRDs come as a Go module, and there is no go here")
    command = [go, "mod", "download", "-json", "sigs.k8s.io/gateway-api"]
    done = subprocess.run(command, cwd=MODULE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    folder = Path(json.loads(done.stdout)["Dir"]) / "config/crd/standard"
    return [folder / f"gateway.networking.k8s.io_{kind}.yaml" for kind in KINDS]


def install() -> None:
    kubectl = Kubectl()
    files = [f"--filename={path}" for path in crds()]
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=topgraft-tests", *files)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)


class Route:
    """The HTTPRoute of a Model, and the controller of its Gateway."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl = kubectl
        self._name = name

    def live(self) -> Body:
        return self._kubectl.get("httproute", self._name)

    def weights(self) -> dict[str, int]:
        """What each Service gets by the rule without headers."""
        rules: list[Any] = self.live().get("spec", {}).get("rules", [{}])
        return {ref["name"]: ref["weight"] for ref in rules[-1].get("backendRefs", [])}

    def answer(self, accepted: bool = True, reason: str = "Accepted") -> None:
        """Say of the route as it is now what its Gateway's controller would."""
        live = self.live()
        told = {"observedGeneration": live["metadata"]["generation"], "lastTransitionTime": "2026-01-01T00:00:00Z"}
        accepts = {"type": "Accepted", "status": "True" if accepted else "False", "reason": reason, "message": ""}
        resolved = {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": ""}
        parents = [
            {
                "parentRef": ref,
                "controllerName": "topgraft.dev/test",
                "conditions": [{**accepts, **told}, {**resolved, **told}],
            }
            for ref in live["spec"]["parentRefs"]
        ]
        patch = json.dumps({"status": {"parents": parents}})
        self._kubectl("patch", "httproute", self._name, "--subresource=status", "--type=merge", f"--patch={patch}")
