"""The chart's admission policy: a Model's HTTPRoute only for who may write HTTPRoutes."""

from __future__ import annotations

from typing import Any

import pytest
from api_objects import minimal
from apiserver import Kubectl
from support.charts import one, render
from support.live import wait_until

ROUTE = {"parentRefs": [{"name": "shared", "namespace": "infra"}], "hostnames": ["shop.example.com"]}
RBAC = "rbac.authorization.k8s.io"


def grant(name: str, user: str, group: str, resource: str) -> list[dict[str, Any]]:
    role = {"apiGroups": [group], "resources": [resource], "verbs": ["*"]}
    to = {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name}}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": name}, "rules": [role]},
        {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": {"name": name}, **to}
        | {"subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}]},
    ]


@pytest.fixture
def kubectl(namespace: str) -> Any:
    """With the policy in force in this namespace, two users who may write Models, and one of them HTTPRoutes."""
    made = Kubectl(namespace)
    objects = render("operator.gatewayApi=true", release=namespace)
    name = f"{namespace}-topgraft-http-routes"
    bodies = [one(objects, f"ValidatingAdmissionPolicy{end}", name) for end in ("", "Binding")]
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    bodies[1]["spec"]["matchResources"] = only_here
    for user in ("editor", "router"):
        bodies += grant(user, user, "topgraft.dev", "models")
    bodies += grant("routes", "router", "gateway.networking.k8s.io", "httproutes")
    made("create", "--filename=-", body=bodies)
    yield made
    made("delete", "--filename=-", body=bodies[:2])


def model(text: str = "", **serving: Any) -> dict[str, Any]:
    body = minimal("Model")
    return {**body, "spec": {**body["spec"], "description": text, "serving": serving}}


def refusal(kubectl: Kubectl, user: str, verb: str, body: dict[str, Any]) -> str:
    done = kubectl.run(verb, f"--as={user}", "--filename=-", body=body)
    return done.stderr if done.returncode else ""


def test_who_may_not_write_http_routes_orders_none(kubectl: Kubectl) -> None:
    # A policy takes some moments to be in force.
    said = wait_until(
        lambda: refusal(kubectl, "editor", "create", model(httpRoute=ROUTE)) or forget(kubectl), 30, "refusal"
    )
    assert "editor may not create httproutes.gateway.networking.k8s.io" in said
    assert refusal(kubectl, "editor", "create", model()) == ""
    assert "may not create httproutes" in refusal(kubectl, "editor", "replace", model(httpRoute=ROUTE))
    assert refusal(kubectl, "router", "replace", model(httpRoute=ROUTE)) == ""
    assert refusal(kubectl, "editor", "replace", model("Other words", httpRoute=ROUTE)) == "", "it stands already"
    other = {**ROUTE, "hostnames": ["bank.example.com"]}
    assert "may not create httproutes" in refusal(kubectl, "editor", "replace", model(httpRoute=other))
    assert refusal(kubectl, "editor", "replace", model()) == "", "a route may always be taken away"


def forget(kubectl: Kubectl) -> str:
    kubectl("delete", "model", "digits")
    return ""
