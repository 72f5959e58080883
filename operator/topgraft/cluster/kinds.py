"""The kinds that the operator reads and writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    plural: str
    name: str
    selector: str | None = None
    """Server-side label selector of lists and watches: what lacks it is not ours to keep in memory."""
    page: int = 100
    """Objects in one answer of a list."""

    def url(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        leaf = f"/{quote(name, safe='')}" if name else ""
        sub = f"/{subresource}" if subresource else ""
        return f"{root}{scope}/{self.plural}{leaf}{sub}"


GROUP, VERSION = "topgraft.dev", "v1alpha1"
OWNED = "topgraft.dev/model"

SMALL_PAGE = 20
"""For kinds whose objects users fill: each may be 1 MiB or more, and a page is in memory at once, three times."""

MODEL = Kind(GROUP, VERSION, "models", "Model", page=SMALL_PAGE)
MODEL_VERSION = Kind(GROUP, VERSION, "modelversions", "ModelVersion", page=SMALL_PAGE)
ADAPTER_UPGRADE = Kind(GROUP, VERSION, "adapterupgrades", "AdapterUpgrade", page=SMALL_PAGE)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment", OWNED)
POD = Kind("", "v1", "pods", "Pod", OWNED)
SERVICE = Kind("", "v1", "services", "Service", OWNED)
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", OWNED)
JOB = Kind("batch", "v1", "jobs", "Job", OWNED)
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", OWNED)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", OWNED, page=SMALL_PAGE)
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", OWNED)
"""Watched apart (`routes`), and only where the operator is told to: not every cluster has this kind."""

CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENT = Kind("", "v1", "events", "Event")
RECORDED_EVENT = Kind("events.k8s.io", "v1", "events", "Event")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")

OWN = (MODEL, MODEL_VERSION, ADAPTER_UPGRADE)
WATCHED = (*OWN, DEPLOYMENT, POD, SERVICE, ENDPOINT_SLICE, CONFIG_MAP, JOB, NETWORK_POLICY)
BY_NAME = {kind.name: kind for kind in (*WATCHED, HTTP_ROUTE)}
