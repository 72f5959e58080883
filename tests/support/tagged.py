"""A repository of the test's own in the cluster's registry: tags over images that are there already."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

PUSH = os.environ.get("TOPGRAFT_PUSH_URL", "http://127.0.0.1:5000")
"""Where this machine pushes."""
PODS = os.environ.get("TOPGRAFT_REGISTRY_URL", "http://198.18.0.1:5000")
"""Where pods reach the same registry."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def tag(repository: str, tags: dict[str, str], source: str = "digits") -> None:
    """Give images of `source` names in `repository`: new tag → tag in `source`."""
    for new, old in tags.items():
        kind, body = _get(f"/v2/{source}/manifests/{old}")
        manifest: dict[str, Any] = json.loads(body)
        for part in (manifest["config"], *manifest["layers"]):
            _send("POST", f"/v2/{repository}/blobs/uploads/?mount={part['digest']}&from={source}")
        _send("PUT", f"/v2/{repository}/manifests/{new}", body, {"Content-Type": kind})


def _get(path: str) -> tuple[str, bytes]:
    request = urllib.request.Request(f"{PUSH}{path}", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def _send(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
    request = urllib.request.Request(f"{PUSH}{path}", data=body, headers=headers or {}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status in (201, 202), answer.status
