"""What one look at a Model sees. Everything that `plan` knows is in here; it asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.mlflow import Mirrored
from topgraft.governance.peft import Neighbours
from topgraft.rollout.jobview import Job
from topgraft.rollout.routeview import GatewayApi, HTTPRoute
from topgraft.rollout.traffic import Traffic
from topgraft.rollout.views import (
    ConfigMap,
    Deployment,
    EndpointSlice,
    NetworkPolicy,
    PersistentVolumeClaim,
    Pod,
    Service,
)


@dataclass(frozen=True)
class Settings:
    """The operator's own set-up: its image (the preflight's trusted container) and whether standbys are armed."""

    image: str
    armed_standby: bool = True
    registries: tuple[tuple[str, str], ...] = ()
    """(host, URL) of registries that are not reached by https under their name."""


@dataclass(frozen=True)
class Observed:
    """One Model and all that belongs to it, as the caches and a few live reads show it.

    `refusals`: "Kind/name" → what the API server answered to the last try to write that object (quota, admission);
    "Kind/name/status" for its status.
    `pod_events`: uid of a pod that waits for its containers → text of its newest Warning event (a failed mount).
    `live`: version → its live traffic as far as it was read; None where nothing reads any.
    `neighbours`: the Models that its PEFT adapters are for, and who has their names.
    `mirrored`: how far its mirror in MLflow is.
    `claims`: PersistentVolumeClaim name → the claim, or None when it does not exist; read when a plan asks for it.
    """

    namespace: str
    name: str
    settings: Settings
    model: Model | None = None
    versions: tuple[ModelVersion, ...] = ()
    upgrades: tuple[AdapterUpgrade, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    routes: tuple[HTTPRoute, ...] = ()
    gateway_api: GatewayApi = GatewayApi.OFF
    jobs: tuple[Job, ...] = ()
    policies: tuple[NetworkPolicy, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    pod_events: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, PersistentVolumeClaim | None] = field(default_factory=dict)
    live: Mapping[str, Traffic] | None = None
    may_start: bool = True
    neighbours: Neighbours = field(default_factory=Neighbours)
    mirrored: Mirrored = field(default_factory=Mirrored)
