"""The Gateway API's HTTPRoute as decisions read it: its spec as it stands, and what Gateways' controllers answer."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import Field

from topgraft.rollout.views import Object, View


class GatewayApi(Enum):
    """Whether the operator can use the Gateway API. Values are the reasons that users read where it cannot."""

    READY = ""
    OFF = "GatewayApiOff"
    MISSING = "GatewayApiMissing"
    FORBIDDEN = "GatewayApiForbidden"


class ParentRefView(View):
    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: str = ""
    name: str
    section_name: str = ""
    port: int | None = None


class RouteCondition(View):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None


class RouteParent(View):
    """The answer of one controller for one of the route's parents."""

    parent_ref: ParentRefView
    controller_name: str = ""
    conditions: tuple[RouteCondition, ...] = ()

    def condition(self, kind: str) -> RouteCondition | None:
        return next((c for c in self.conditions if c.type == kind), None)


class RouteStatus(View):
    parents: tuple[RouteParent, ...] = ()


class HTTPRoute(Object):
    spec: dict[str, Any] = Field(default_factory=dict)
    status: RouteStatus = RouteStatus()

    def names(self, service: str) -> bool:
        """Whether any rule sends requests to a Service."""
        rules = self.spec.get("rules") or ()
        return any(ref.get("name") == service for rule in rules for ref in rule.get("backendRefs") or ())

    def weight(self, service: str) -> int | None:
        """What a backend Service gets by the last rule, the one without headers; None where it is not in the route."""
        rules = self.spec.get("rules") or [{}]
        refs = rules[-1].get("backendRefs") or ()
        return next((ref.get("weight", 1) for ref in refs if ref.get("name") == service), None)
