"""The control loop: observe, plan, write."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from topgraft.api.model import Model, Rollout
from topgraft.cluster import metrics
from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client, StaleObject
from topgraft.cluster.clock import Clock
from topgraft.cluster.errors import Conflict, Gone, NotLeading, Refused, Stale, Unavailable
from topgraft.cluster.kinds import BY_NAME, GROUP, MODEL, OWNED, SERVICE, Kind
from topgraft.cluster.observer import Look, Observer
from topgraft.cluster.queue import Key, WorkQueue
from topgraft.cluster.recorder import Recorder
from topgraft.cluster.refusals import Refusals
from topgraft.cluster.slots import Slots, runs
from topgraft.governance.mlflow import Registration
from topgraft.rollout.comparison import Watch
from topgraft.rollout.instructions import Apply, ApplyStatus, Delete, Plan, Switch, Write
from topgraft.rollout.observed import Observed

log = logging.getLogger(__name__)

Planner = Callable[[Observed, datetime], Plan]

LOOKS = 6
"""Live reads and refusals make a turn look again; more than this in one turn waits for the next."""
MOST_WRITES = 50
"""Writes of one turn: a Model with thousands of versions must not hold a worker for as long as all of them take."""
PAUSED_SECONDS = 1.0


class LookAgain(Exception):
    """What was planned on has changed under the turn; the caches know already."""


class AlreadyThere(Exception):
    """What the plan took for new exists and is ours: the caches missed it, or it is not what it should be."""


class TurnOver(Exception):
    """The turn has written its share; the rest of the plan is planned anew, behind the other Models."""


class Reconciler:
    """Works off the queue. `plan` decides, this writes, in the plan's order; a failed write ends the turn."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        queue: WorkQueue,
        *,
        observer: Observer,
        recorder: Recorder,
        refusals: Refusals,
        slots: Slots,
        plan: Planner,
        clock: Clock,
        watch: Callable[[Key, Watch | None], None] = lambda _key, _watch: None,
        register: Callable[[Key, Registration | None], None] = lambda _key, _registration: None,
    ) -> None:
        """`watch`: told after each look whose live traffic is to be read. `register`: what MLflow is to show."""
        self._client = client
        self._caches = caches
        self._queue = queue
        self._observer = observer
        self._recorder = recorder
        self._refusals = refusals
        self._slots = slots
        self._plan = plan
        self._clock = clock
        self._watch = watch
        self._register = register

    async def work(self) -> None:
        """Take turns until the queue is closed."""
        while (key := await self._queue.get()) is not None:
            started = time.monotonic()
            ran = self._slots.holds(key)
            try:
                result = await self._attend(key)
            finally:
                self._slots.settled(key)
                self._queue.done(key)
            if ran and not self._slots.holds(key):
                for waiting in self._slots.next():
                    self._queue.add(waiting)
            metrics.RECONCILES.labels(result).inc()
            metrics.RECONCILE_SECONDS.observe(time.monotonic() - started)
            # Neither a full queue nor an idle plan ever waits: the Lease's renewal and the watches want their turn too.
            await asyncio.sleep(0)

    async def _attend(self, key: Key) -> str:
        """One turn, and when to take the next. Returns the outcome for the metrics."""
        fields = {"namespace": key[0], "model": key[1]}
        try:
            look_again = await self._turn(key)
        except NotLeading:
            self._queue.add_after(key, PAUSED_SECONDS)
            return "paused"
        except (Conflict, Stale, Gone, LookAgain) as reason:
            delay = self._queue.retry(key)
            log.debug("looking again in %.1f s: %s", delay, reason, extra=fields)
            return "conflict"
        except Unavailable as error:
            delay = self._queue.retry(key, error.retry_after)
            log.warning("trying again in %.1f s: %s", delay, error, extra=fields)
            return "unavailable"
        except Exception:
            delay = self._queue.retry(key)
            log.exception("a turn failed, trying again in %.1f s", delay, extra=fields)
            return "error"
        self._queue.succeeded(key)
        waits = [wait for wait in (look_again, self._refusals.next_due(key)) if wait is not None]
        if waits:
            self._queue.add_after(key, min(waits))
        return "ok"

    async def _turn(self, key: Key) -> float | None:
        """Returns when to look again, in seconds."""
        for target in self._refusals.due(key):
            await self._try_again(key, target)
        met: set[str] = set()
        for _ in range(LOOKS):
            look = self._observer.look(key)
            if _nothing_left(look.observed):
                self._observer.forget(key)
                self._refusals.forget(key)
                self._watch(key, None)
                self._register(key, None)
                return None
            plan = self._plan(look.observed, self._clock.now())
            if not look.complete:
                await self._observer.complete(key, look)
                continue
            self._watch(key, plan.watch)
            self._register(key, plan.registration)
            if _starts_rollout(look, plan):
                self._slots.starting(key)
            try:
                skipped = await self._carry_out(key, plan, met)
            except TurnOver:
                return 0.0
            if skipped is None:
                continue
            # 0.0 means "on with what follows from these writes": without them only time and events lead further.
            return plan.look_again or None if skipped else plan.look_again
        raise LookAgain(f"still changing after {LOOKS} looks")

    async def _try_again(self, key: Key, target: str) -> None:
        """Try the one write that was refused, before anything is told: a status must not flap with each try."""
        met: set[str] = set()
        for _ in range(LOOKS):
            look = self._observer.look(key, without=target)
            plan = self._plan(look.observed, self._clock.now())
            if not look.complete:
                await self._observer.complete(key, look)
                continue
            write = next((one for one in plan.writes if _target(one) == target), None)
            if write is None:
                break
            known = len(met)
            written = await self._write_unless_refused(key, write, met)
            if written and _tells(write):
                self._record(plan)
            if written or len(met) == known:
                return
        self._refusals.drop(key, target)

    async def _carry_out(self, key: Key, plan: Plan, met: set[str]) -> list[Write] | None:
        """Write the plan, but for what is refused. Returns what was not written; None: plan anew, something is known
        now that was not. `met`: as for `_write_unless_refused`."""
        refused = self._refusals.texts(key)
        skipped: list[Write] = []
        telling = [write for write in plan.writes if _tells(write)]
        for number, write in enumerate(plan.writes):
            if number - len(skipped) == MOST_WRITES:
                raise TurnOver
            if _target(write) in refused:
                skipped.append(write)
            elif await self._write_unless_refused(key, write, met):
                # At once: whatever fails after it, the next plan finds this transition done and says no more of it.
                if telling and write is telling[-1] and not any(_tells(one) for one in skipped):
                    self._record(plan)
            elif isinstance(write, ApplyStatus):
                # A status has no place to tell its own refusal in: a new plan would be the same.
                skipped.append(write)
            else:
                return None
        if not telling and not skipped:
            self._record(plan)
        return skipped

    def _record(self, plan: Plan) -> None:
        for event in plan.events:
            self._recorder.record(event)

    async def _write_unless_refused(self, key: Key, write: Write, met: set[str]) -> bool:
        """`met`: what this turn found to be there already. Found once, the next look sees it; found twice, every look
        would plan the same, and all that comes after it would wait for ever: that counts as a refusal."""
        target = _target(write)
        try:
            await self._write(key, write)
        except Refused as refusal:
            self._refuse(key, target, refusal.text)
            return False
        except AlreadyThere as there:
            if target in met:
                self._refuse(key, target, str(there))
            met.add(target)
            return False
        self._refusals.drop(key, target)
        return True

    def _refuse(self, key: Key, target: str, text: str) -> None:
        fields = {"namespace": key[0], "model": key[1], "object": target}
        level = logging.WARNING if self._refusals.add(key, target, text) else logging.DEBUG
        log.log(level, "a write was refused: %s", text, extra=fields)

    async def _write(self, key: Key, write: Write) -> None:
        started = time.monotonic()
        match write:
            case Apply(body=body, guard=guard, new=new):
                kind = BY_NAME[body["kind"]]
                await self._apply(kind, body, guard, new=new)
            case ApplyStatus(body=body):
                kind = BY_NAME[body["kind"]]
                await self._apply_status(kind, body)
            case Switch(body=body, seen=seen):
                await self._switch(body, seen)
            case Delete(kind=name, namespace=namespace, name=obj, uid=uid):
                await self._delete(BY_NAME[name], namespace, obj, uid)
        _log_write(key, write, time.monotonic() - started)

    async def _apply(self, kind: Kind, body: dict[str, Any], guard: str | None, *, new: bool) -> None:
        if not new:
            self._caches.wrote(kind, await self._client.apply(kind, body, guard))
            return
        obj, written = await self._client.create_owned(kind, body)
        if written:
            self._caches.wrote(kind, obj)
            return
        await self._see(kind, obj, body)
        raise AlreadyThere(_in_the_way(kind, obj))

    async def _apply_status(self, kind: Kind, body: dict[str, Any]) -> None:
        answer = await self._client.apply_status(kind, body)
        if kind is MODEL:
            self._count_outcome(answer)
        self._caches.wrote(kind, answer)

    async def _switch(self, body: dict[str, Any], seen: str | None) -> None:
        try:
            self._caches.wrote(SERVICE, await self._client.switch(body, seen))
        except StaleObject as stale:
            if stale.live is not None:
                await self._see(SERVICE, stale.live, body)
            raise

    async def _see(self, kind: Kind, live: dict[str, Any], body: dict[str, Any]) -> None:
        """Take in an object of ours that the caches missed; without its labels they would miss it again.

        One with labels of ours that are not in `body` is another child: it must not become two in one.
        """
        asked, carried = body["metadata"]["labels"], live["metadata"].get("labels") or {}
        same = all(name in asked for name in carried if name.startswith(f"{GROUP}/"))
        labels = asked if same else {OWNED: asked[OWNED]}
        if labels.items() - carried.items():
            live = await self._client.relabel(kind, live, labels)
        self._caches.read(kind, live)

    async def _delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        left = await self._client.delete(kind, namespace, name, uid)
        if left is None:
            self._caches.deleted(kind, uid)
        else:
            self._caches.wrote(kind, left)

    def _count_outcome(self, answer: dict[str, Any]) -> None:
        """Count a rollout when this write is the one that put it into the history."""
        after = Model.model_validate(answer).status.history
        known = self._caches.models.owned_by((answer["metadata"]["namespace"], answer["metadata"]["name"]))
        before = known[0].status.history if known else ()
        if after and after[:1] != before[:1]:
            metrics.ROLLOUTS.labels(after[0].outcome).inc()


def _nothing_left(observed: Observed) -> bool:
    return observed.model is None and not (
        observed.versions or observed.upgrades or observed.deployments or observed.pods or observed.services
    )


def _in_the_way(kind: Kind, live: dict[str, Any]) -> str:
    """Why an object of ours is not what the plan asks for."""
    name, meta = f"{kind.name} {live['metadata']['name']}", live["metadata"]
    if meta.get("deletionTimestamp"):
        held = ", ".join(meta.get("finalizers") or ()) or "its pods"
        return f"{name} is being deleted and waits for {held}; it is made anew once it is gone"
    return f"{name} exists, belongs to this Model and is something else: delete it, or rename what needs its name"


def _starts_rollout(look: Look, plan: Plan) -> bool:
    """Whether the Model takes a slot from this plan on, which it did not have."""
    model = look.observed.model
    if model is None or (model.status.rollout is not None and runs(model.status.rollout)):
        return False
    told = (w.body["status"].get("rollout") for w in plan.writes if isinstance(w, ApplyStatus) and _is_model(w))
    return any(record is not None and runs(Rollout.model_validate(record)) for record in told)


def _is_model(write: ApplyStatus) -> bool:
    return bool(write.body["kind"] == "Model")


def _tells(write: Write) -> bool:
    """Whether a transition becomes a fact with this write: until then its event would be false, or told each turn."""
    return isinstance(write, Switch) or (isinstance(write, ApplyStatus) and _is_model(write))


def _target(write: Write) -> str:
    """The name in `Observed.refusals`: "Kind/name", and for a status, refused apart from its object, with "/status"."""
    if isinstance(write, Delete):
        return f"{write.kind}/{write.name}"
    target = f"{write.body['kind']}/{write.body['metadata']['name']}"
    return f"{target}/status" if isinstance(write, ApplyStatus) else target


def _log_write(key: Key, write: Write, seconds: float) -> None:
    kind, name = _target(write).split("/")[:2]
    action = {Apply: "apply", ApplyStatus: "status", Switch: "switch", Delete: "delete"}[type(write)]
    labels = {} if isinstance(write, Delete) else write.body["metadata"].get("labels", {})
    fields = {"namespace": key[0], "model": key[1], "kind": kind, "object": name, "action": action}
    if version := labels.get("topgraft.dev/version"):
        fields["version"] = version
    log.info("wrote", extra={**fields, "milliseconds": round(seconds * 1000, 1)})
