"""What one look at a Model sees: the caches, and live reads of what the plan asked for and the caches do not hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client
from topgraft.cluster.clock import Clock, elapsed
from topgraft.cluster.errors import Gone, Refused
from topgraft.cluster.kinds import CLAIM, EVENT
from topgraft.cluster.queue import Key
from topgraft.cluster.refusals import Refusals
from topgraft.cluster.slots import Slots
from topgraft.governance.mlflow import Mirrored
from topgraft.rollout.observed import Observed, Settings
from topgraft.rollout.routeview import GatewayApi
from topgraft.rollout.traffic import Traffic
from topgraft.rollout.views import PersistentVolumeClaim, Pod

FRESH_SECONDS = 3.0
"""Age up to which a live read is used again."""
KEPT_SECONDS = 60.0
STUCK_SECONDS = 5.0

Value = TypeVar("Value")
Live = Callable[[Key], Mapping[str, Traffic] | None]


class Asked(Mapping[str, Value]):
    """A mapping that remembers which keys were looked up in vain, so that they can be read and the plan made anew."""

    def __init__(self, known: Mapping[str, Value], readable: Container[str] | None = None) -> None:
        """`readable`: the only keys worth a read; None: any."""
        self._known = known
        self._readable = readable
        self.missing: set[str] = set()

    def __getitem__(self, key: str) -> Value:
        if key not in self._known and (self._readable is None or key in self._readable):
            self.missing.add(key)
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class LiveReads(dict[str, Value]):
    """What was read live, with the time of reading."""

    def __init__(self) -> None:
        super().__init__()
        self._read_at: dict[str, float] = {}

    def put(self, name: str, value: Value) -> None:
        self[name] = value
        self._read_at[name] = elapsed()

    def fresh(self) -> dict[str, Value]:
        """What is young enough to decide on; what is old is forgotten."""
        now = elapsed()
        for name in [name for name, at in self._read_at.items() if now - at > KEPT_SECONDS]:
            del self[name], self._read_at[name]
        return {name: value for name, value in self.items() if now - self._read_at[name] <= FRESH_SECONDS}


class Look:
    """One Observed, and what the plan missed in it."""

    def __init__(self, observed: Observed, claims: Asked[PersistentVolumeClaim | None], events: Asked[str]) -> None:
        self.observed = observed
        self.claims = claims
        self.events = events

    @property
    def complete(self) -> bool:
        return not self.claims.missing and not self.events.missing


class Observer:
    def __init__(
        self,
        client: Client,
        caches: Caches,
        *,
        refusals: Refusals,
        slots: Slots,
        settings: Settings,
        clock: Clock,
        live: Live = lambda _: None,
        mirrored: Callable[[Key], Mirrored] = lambda _: Mirrored(),
        gateway_api: Callable[[], GatewayApi] = lambda: GatewayApi.OFF,
    ) -> None:
        """`mirrored`: how far a Model's mirror in MLflow is.

        `live`: what was read of a Model's live traffic; None where nobody reads any."""
        self._client = client
        self._caches = caches
        self._refusals = refusals
        self._slots = slots
        self._clock = clock
        self._settings = settings
        self._live = live
        self._mirrored = mirrored
        self._gateway_api = gateway_api
        self._claims: defaultdict[Key, LiveReads[PersistentVolumeClaim | None]] = defaultdict(LiveReads)
        self._events: defaultdict[Key, LiveReads[str]] = defaultdict(LiveReads)

    def look(self, key: Key, without: str | None = None) -> Look:
        """What is known now, but for the refusal of `without`. No await in here: nothing may change before the plan."""
        caches = self._caches
        pods = caches.pods.owned_by(key)
        refusals = {target: text for target, text in self._refusals.texts(key).items() if target != without}
        claims = Asked(self._claims[key].fresh() if key in self._claims else {})
        events = Asked(self._events[key].fresh() if key in self._events else {}, self._stuck(pods))
        observed = Observed(
            namespace=key[0],
            name=key[1],
            settings=self._settings,
            model=next(iter(caches.models.owned_by(key)), None),
            versions=caches.versions.owned_by(key),
            upgrades=caches.upgrades.owned_by(key),
            deployments=caches.deployments.owned_by(key),
            pods=pods,
            services=caches.services.owned_by(key),
            slices=caches.slices.owned_by(key),
            config_maps=caches.config_maps.owned_by(key),
            routes=caches.routes.owned_by(key),
            gateway_api=self._gateway_api(),
            jobs=caches.jobs.owned_by(key),
            policies=caches.policies.owned_by(key),
            refusals=refusals,
            pod_events=events,
            claims=claims,
            live=self._live(key),
            may_start=self._slots.may_start(key),
            neighbours=caches.adapters.neighbours(key),
            mirrored=self._mirrored(key),
        )
        return Look(observed, claims, events)

    async def complete(self, key: Key, look: Look) -> None:
        """Read live what the plan missed in `look`."""
        for name in look.claims.missing:
            self._claims[key].put(name, await self._claim(key[0], name))
        for uid in look.events.missing:
            self._events[key].put(uid, await self._newest_warning(key[0], uid))

    def forget(self, key: Key) -> None:
        self._claims.pop(key, None)
        self._events.pop(key, None)

    def _stuck(self, pods: Iterable[Pod]) -> set[str]:
        """Pods that have a node and no container for so long that an event may tell why."""
        latest = self._clock.now() - timedelta(seconds=STUCK_SECONDS)
        return {
            pod.metadata.uid
            for pod in pods
            if pod.status.phase == "Pending" and pod.spec.node_name and pod.metadata.creation_timestamp < latest
        }

    async def _claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        try:
            return PersistentVolumeClaim.model_validate(await self._client.get(CLAIM, namespace, name))
        except Gone:
            return None

    async def _newest_warning(self, namespace: str, uid: str) -> str:
        """Text of the pod's newest Warning event, "" when it has none."""
        newest: tuple[str, str] = ("", "")
        selector = f"involvedObject.uid={uid},type=Warning"
        try:
            async for events, _ in self._client.pages(EVENT, namespace, fields=selector):
                for event in events:
                    said = f"{event.get('reason', '')}: {event.get('message', '')}"
                    newest = max(newest, (_time_of(event), said))
        except Refused:
            # Without the right to read events a stuck pod is told by its own status alone.
            return ""
        return newest[1]


def _time_of(event: dict[str, object]) -> str:
    """The newest of the event's times, RFC 3339 in UTC: they sort as text down to the second, which is enough."""
    series = event.get("series")
    last = series.get("lastObservedTime") if isinstance(series, dict) else None
    times = (last, event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return str(next((time for time in times if time), datetime.min.isoformat()))
