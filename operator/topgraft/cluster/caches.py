"""All that the operator knows of the cluster, kept current by the watch, its own writes and the resync."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.cluster.adapternames import AdapterNames
from topgraft.cluster.cache import Cache, Object, version_of
from topgraft.cluster.echo import Echoes
from topgraft.cluster.kinds import (
    ADAPTER_UPGRADE,
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GROUP,
    HTTP_ROUTE,
    JOB,
    MODEL,
    MODEL_VERSION,
    NETWORK_POLICY,
    OWNED,
    POD,
    SERVICE,
    Kind,
)
from topgraft.cluster.queue import Key
from topgraft.rollout.jobview import Job
from topgraft.rollout.routeview import HTTPRoute
from topgraft.rollout.views import ConfigMap, Deployment, EndpointSlice, NetworkPolicy, Pod, Service

PREFIX = f"{GROUP}/"
View = TypeVar("View", bound=BaseModel)


def _itself(obj: Object) -> Key | None:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _by_reference(obj: Object) -> Key | None:
    return obj["metadata"]["namespace"], obj["spec"]["modelRef"]["name"]


def _by_label(obj: Object) -> Key | None:
    name = (obj["metadata"].get("labels") or {}).get(OWNED)
    return (obj["metadata"]["namespace"], name) if name else None


def _slim(obj: Object) -> Object:
    """Without the annotations of others, which the operator never reads and which may be 256 KiB for each object."""
    slim = {**obj, "metadata": _ours_alone(obj["metadata"])}
    template = (obj.get("spec") or {}).get("template")
    if template and template.get("metadata"):
        slim["spec"] = {**obj["spec"], "template": {**template, "metadata": _ours_alone(template["metadata"])}}
    return slim


def _ours_alone(meta: Object) -> Object:
    annotations = (meta.get("annotations") or {}).items()
    return {**meta, "annotations": {name: text for name, text in annotations if name.startswith(PREFIX)}}


def _cache(view: type[View], owner_of: Callable[[Object], Key | None]) -> Cache[View]:
    return Cache(lambda obj: view.model_validate(_slim(obj)), owner_of)


class Caches:
    """The caches of all kinds. Whatever changes one wakes the Model that it belongs to."""

    def __init__(self, wake: Callable[[Key], None], *, by_namespace: bool = False) -> None:
        """`by_namespace`: there is a watch for each namespace instead of one for the cluster."""
        self._wake = wake
        self._by_namespace = by_namespace
        self.echoes = Echoes()
        self.models = _cache(Model, _itself)
        self.versions = _cache(ModelVersion, _by_reference)
        self.upgrades = _cache(AdapterUpgrade, _by_reference)
        self.deployments = _cache(Deployment, _by_label)
        self.pods = _cache(Pod, _by_label)
        self.services = _cache(Service, _by_label)
        self.slices = _cache(EndpointSlice, _by_label)
        self.config_maps = _cache(ConfigMap, _by_label)
        self.routes = _cache(HTTPRoute, _by_label)
        self.adapters = AdapterNames(self.models)
        self.jobs = _cache(Job, _by_label)
        self.policies = _cache(NetworkPolicy, _by_label)
        self._by_kind: dict[Kind, Cache[Any]] = {
            MODEL: self.models,
            MODEL_VERSION: self.versions,
            ADAPTER_UPGRADE: self.upgrades,
            DEPLOYMENT: self.deployments,
            POD: self.pods,
            SERVICE: self.services,
            ENDPOINT_SLICE: self.slices,
            CONFIG_MAP: self.config_maps,
            HTTP_ROUTE: self.routes,
            JOB: self.jobs,
            NETWORK_POLICY: self.policies,
        }

    def watched(self, kind: Kind, obj: Object, *, gone: bool) -> None:
        """Take in an event of the watch."""
        uid, version = obj["metadata"]["uid"], version_of(obj)
        self.echoes.heard(self._watch_of(kind, obj), version)
        touched = self._by_kind[kind].forget(uid, version) if gone else self._by_kind[kind].observe(obj)
        self._wake_all(kind, touched)

    def wrote(self, kind: Kind, obj: Object) -> None:
        """Take in the answer to an own write: the next turn must not wait for the watch to see it."""
        touched = self._by_kind[kind].observe(obj)
        if touched:
            self.echoes.expect(self._watch_of(kind, obj), version_of(obj))
        self._wake_all(kind, touched)

    def read(self, kind: Kind, obj: Object) -> None:
        """Take in a live read."""
        self._wake_all(kind, self._by_kind[kind].observe(obj))

    def deleted(self, kind: Kind, uid: str) -> None:
        """Take in that an own deletion is done."""
        cache = self._by_kind[kind]
        self._wake_all(kind, cache.forget(uid, cache.version(uid) or 0))

    def listed(self, kind: Kind, obj: Object, *, expect: bool) -> set[Key]:
        """Take in an object of a full list. With `expect` the watch must deliver what it had not shown yet."""
        touched = self._by_kind[kind].observe(obj)
        if touched and expect:
            self.echoes.expect(self._watch_of(kind, obj), version_of(obj))
        self._wake_all(kind, touched)
        return touched

    def sweep(self, kind: Kind, namespace: str | None, listed: set[str], version: int) -> set[Key]:
        """Drop what a full list (of one namespace, or of all) at `version` no longer has."""
        touched = self._by_kind[kind].sweep(listed, version, namespace)
        self._wake_all(kind, touched)
        return touched

    def _watch_of(self, kind: Kind, obj: Object) -> tuple[Kind, str | None]:
        return kind, obj["metadata"]["namespace"] if self._by_namespace else None

    def _wake_all(self, kind: Kind, keys: set[Key]) -> None:
        for key in keys | self._neighbours(kind, keys):
            self._wake(key)

    def _neighbours(self, kind: Kind, keys: set[Key]) -> set[Key]:
        """The Models whose PEFT adapters are judged by what changed of others."""
        if kind is MODEL:
            return set().union(*(self.adapters.users_of(key) for key in keys))
        if kind is MODEL_VERSION:
            return set().union(*(self.adapters.refresh(key, self.versions.owned_by(key)) for key in keys))
        return set()
