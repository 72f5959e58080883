"""Objects through the API itself: to start a kubectl costs more than most of what a test asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from kubernetes import client, config

Body = dict[str, Any]
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SECONDS = 20


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind are kept: `root` is such as `/apis/apps/v1`."""

    root: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{self.root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class Objects:
    """The objects of one namespace; those that belong to none are reached too."""

    def __init__(self, namespace: str = "") -> None:
        self.namespace = namespace or "default"

    def apply(self, body: Body) -> Body:
        """`kubectl apply --server-side --force-conflicts --field-manager=user`."""
        path = _resource(f"{body['apiVersion']}/{body['kind']}").path(self.namespace, body["metadata"]["name"])
        query = {"fieldManager": "user", "force": "true", "fieldValidation": "Strict"}
        return _call("PATCH", path, query, body)

    def get(self, kind: str, name: str) -> Body:
        """The live object; empty when there is none. `kind` as kubectl takes it."""
        try:
            return _call("GET", _resource(kind).path(self.namespace, name), {})
        except client.ApiException as error:
            if error.status != 404:
                raise
            return {}

    def delete(self, kind: str, name: str) -> None:
        """As `kubectl delete --wait=false`."""
        _call("DELETE", _resource(kind).path(self.namespace, name), {})

    def list(self, kind: str, selector: str = "") -> list[Body]:
        found = _call("GET", _resource(kind).path(self.namespace), {"labelSelector": selector})
        return list(found["items"])


@cache
def _api() -> client.ApiClient:
    config.load_kube_config()  # type: ignore[no-untyped-call]
    return client.ApiClient()


def _call(method: str, path: str, query: dict[str, str], body: Body | None = None, accept: str = "*/*") -> Body:
    headers = {"Accept": accept, **({"Content-Type": "application/apply-patch+yaml"} if body else {})}
    request = _api().param_serialize(
        method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    answer: Any = _api().call_api(*request, _request_timeout=SECONDS).response
    content = answer.data if answer.data is not None else answer.read()
    if not 200 <= answer.status < 300:
        raise client.ApiException(status=answer.status, reason=f"{method} {path}: {content.decode(errors='replace')}")
    return dict(json.loads(content))


def _resource(name: str) -> Resource:
    """By `apiVersion/Kind`, or by what kubectl takes: kind, plural, singular or short name."""
    if name not in _resources():
        _resources.cache_clear()  # of a CRD that has come since
    return _resources()[name]


@cache
def _resources() -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for prefix in ("/api", "/apis"):
        for group in _call("GET", prefix, {}, accept=DISCOVERY)["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                for one in version.get("resources", []):
                    api = f"{name}/{version['version']}" if name else version["version"]
                    made = Resource(f"{prefix}/{api}", one["resource"], one["scope"] == "Namespaced")
                    kind = one["responseKind"]["kind"]
                    found[f"{api}/{kind}"] = made
                    names = (kind, one["resource"], one.get("singularResource", ""), *one.get("shortNames", []))
                    for each in names:
                        # Of groups that have a kind of the same name kubectl takes the first, too.
                        found.setdefault(each, made)
    return found
