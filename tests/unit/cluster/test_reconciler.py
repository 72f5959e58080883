"""Turns of the loop against a plan of the test's own and an API server that can refuse."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from fakeapi import FakeApi, Fault, Object, eventually, status
from topgraft.cluster import observer, refusals
from topgraft.cluster.caches import Caches
from topgraft.cluster.client import Client
from topgraft.cluster.clock import Clock
from topgraft.cluster.kinds import DEPLOYMENT, MODEL, POD, SERVICE
from topgraft.cluster.observer import Observer
from topgraft.cluster.queue import WorkQueue
from topgraft.cluster.reconciler import Planner, Reconciler
from topgraft.cluster.recorder import Recorder
from topgraft.cluster.refusals import Refusals
from topgraft.cluster.slots import Slots
from topgraft.rollout.instructions import Apply, ApplyStatus, Delete, Event, Plan, Switch
from topgraft.rollout.observed import Observed, Settings

KEY = ("ns", "m")
MODEL_PATH = "/apis/topgraft.dev/v1alpha1/namespaces/ns/models/m"
OWNERS = [{"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "name": "m", "uid": "model"}]
MODEL_OBJECT: Object = {
    "metadata": {
        "name": "m",
        "namespace": "ns",
        "uid": "model",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"modelTypeId": "t"},
}


def child(kind: str, name: str, decision: str | None = None, **spec: Any) -> Object:
    annotations = {"topgraft.dev/decision": decision} if decision else {}
    labels = {"topgraft.dev/model": "m", "topgraft.dev/version": "v1"}
    meta = {"namespace": "ns", "name": name, "labels": labels, "annotations": annotations, "ownerReferences": OWNERS}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}


def told(**fields: Any) -> ApplyStatus:
    body = {"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "metadata": {"namespace": "ns", "name": "m"}}
    return ApplyStatus({**body, "spec": {"modelTypeId": "t"}, "status": fields})


def refusing(part: str, refused: Callable[[], bool] = lambda: True) -> Fault:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return status(403, "no") if refused() and request.method == "PATCH" and part in request.path else None

    return refuse


def said(loop: "Loop") -> int:
    """Events recorded so far; nothing posts them here."""
    return loop.recorder._waiting.qsize()


ABOUT = {"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "namespace": "ns", "name": "m", "uid": "model"}
NEWS = (Event(ABOUT, "Normal", "TrafficSwitched", "x"),)


class Loop:
    def __init__(self, api: FakeApi, plan: Planner, client: Client) -> None:
        self.api = api
        self.queue = WorkQueue()
        self.caches = Caches(self.queue.add)
        self.refusals = Refusals()
        self.recorder = Recorder(client, "test")
        slots = Slots(None, None, self.caches.models)
        parts = {"refusals": self.refusals, "slots": slots, "clock": Clock()}
        looks = Observer(client, self.caches, settings=Settings(image="i"), **parts)
        self.reconciler = Reconciler(
            client, self.caches, self.queue, observer=looks, recorder=self.recorder, plan=plan, **parts
        )

    def writes(self) -> list[str]:
        return [f"{m} {p.partition('?')[0]}" for m, p in self.api.requests if m != "GET"]


@asynccontextmanager
async def running(
    api: FakeApi, plan: Callable[[Observed], Plan], may_write: Callable[[], bool] = lambda: True
) -> AsyncIterator[Loop]:
    def planner(observed: Observed, now: datetime) -> Plan:
        return plan(observed) if observed.model else Plan()

    loop = Loop(api, planner, api.client(may_write))
    api.objects[MODEL_PATH] = MODEL_OBJECT
    worker = asyncio.create_task(loop.reconciler.work())
    loop.caches.watched(MODEL, MODEL_OBJECT, gone=False)
    yield loop
    loop.queue.close()
    await worker


def idle(loop: Loop) -> Callable[[], bool]:
    return lambda: len(loop.queue) == 0 and loop.queue.busy == 0


async def test_the_next_turn_sees_what_the_last_one_wrote_without_the_watch(api: FakeApi) -> None:
    seen: list[int] = []

    def plan(observed: Observed) -> Plan:
        seen.append(len(observed.pods))
        return Plan() if observed.pods else Plan((Apply(child("Pod", "p")),))

    async with running(api, plan) as loop:
        await eventually(lambda: seen == [0, 1] and idle(loop)())
        assert loop.caches.echoes.silence() > 0, "the watch owes the echo"
        loop.caches.watched(POD, api.objects["/api/v1/namespaces/ns/pods/p"], gone=False)
        assert loop.caches.echoes.silence() == 0
        await eventually(idle(loop))
        assert seen == [0, 1], "the echo of an own write is no news"


async def test_what_is_refused_is_told_once_and_tried_again_until_it_works(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_WAIT", 0.01)
    full = [True]

    async def quota(request: web.Request) -> web.StreamResponse | None:
        if full[0] and request.method == "PATCH" and "/pods/" in request.path:
            return status(403, "exceeded quota: pods")
        return None

    api.faults.append(quota)

    def plan(observed: Observed) -> Plan:
        assert observed.model
        text = "refused" if observed.refusals else "running" if observed.pods else "starting"
        state = {"refused": "DEGRADED", "running": "ACTIVE", "starting": "STARTING"}[text]
        writes = [told(state=state)] if observed.model.status.state != state else []
        return Plan((*writes, *(() if observed.pods else (Apply(child("Pod", "p")),))))

    def tries() -> int:
        return sum("/pods/" in write for write in loop.writes())

    async with running(api, plan) as loop:
        await eventually(lambda: tries() >= 4)
        assert loop.refusals.texts(KEY) == {"Pod/p": "exceeded quota: pods"}
        states = sum(write.endswith("/status") for write in loop.writes())
        assert states == 2, "STARTING, then DEGRADED; the further tries say nothing"
        full[0] = False
        await eventually(lambda: api.objects[MODEL_PATH]["status"] == {"state": "ACTIVE"})
        assert loop.refusals.texts(KEY) == {}


async def test_a_long_plan_lets_the_other_models_have_their_turns(api: FakeApi) -> None:
    other = {**MODEL_OBJECT, "metadata": {**MODEL_OBJECT["metadata"], "name": "other", "uid": "other"}}

    def plan(observed: Observed) -> Plan:
        if observed.name == "other":
            return Plan(() if observed.services else (Apply(child("Service", "s") | {"metadata": mine}),))
        there = {pod.name for pod in observed.pods}
        return Plan(tuple(Apply(child("Pod", f"p{n}")) for n in range(120) if f"p{n}" not in there), NEWS)

    mine = {**child("Service", "s")["metadata"], "labels": {"topgraft.dev/model": "other"}}
    async with running(api, plan) as loop:
        loop.caches.watched(MODEL, other, gone=False)
        await eventually(lambda: len(loop.writes()) == 121 and idle(loop)(), 10)
        places = [number for number, write in enumerate(loop.writes()) if write.endswith("/services/s")]
        assert places == [50], "behind the first share of the long plan"
        assert said(loop) > 0


async def test_a_refused_write_does_not_hold_up_the_others(api: FakeApi) -> None:
    async def quota(request: web.Request) -> web.StreamResponse | None:
        refused = request.method == "PATCH" and "/pods/" in request.path
        return status(403, "exceeded quota") if refused else None

    api.faults.append(quota)

    def plan(observed: Observed) -> Plan:
        if observed.services:
            return Plan((Apply(child("Pod", "p")),))
        return Plan((Apply(child("Pod", "p")), Switch(child("Service", "m", "d1"), None)))

    async with running(api, plan):
        await eventually(lambda: "/api/v1/namespaces/ns/services/m" in api.objects)


async def test_a_refused_switch_tells_no_event_and_waits_for_its_next_try(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_WAIT", 0.1)
    full = [True]
    api.faults.append(refusing("/services/", lambda: full[0]))
    plans = []

    def plan(observed: Observed) -> Plan:
        plans.append(1)
        return Plan() if observed.services else Plan((Switch(child("Service", "m", "d"), None),), NEWS, 0.0)

    async with running(api, plan) as loop:
        await eventually(lambda: sum("/services/" in write for write in loop.writes()) >= 3)
        assert len(plans) < 20
        assert said(loop) == 0
        full[0] = False
        await eventually(lambda: bool(loop.caches.services.owned_by(KEY)))
        assert said(loop) == 1, "told with the write that made it true"


async def test_a_refused_child_keeps_back_no_event(api: FakeApi) -> None:
    api.faults.append(refusing("/pods/"))

    def plan(observed: Observed) -> Plan:
        assert observed.model
        known = observed.model.status.state == "STARTING"
        return Plan((*(() if known else (told(state="STARTING"),)), Apply(child("Pod", "p"))), () if known else NEWS)

    async with running(api, plan) as loop:
        await eventually(lambda: bool(loop.refusals.texts(KEY)) and idle(loop)())
        assert said(loop) == 1, "its status is written, and no later plan would tell it"


async def test_a_refused_status_stops_no_other_write_and_is_tried_again(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_WAIT", 0.05)
    full = [True]
    api.faults.append(refusing("/models/m/status", lambda: full[0]))
    plans = []

    def plan(observed: Observed) -> Plan:
        assert observed.model
        plans.append(1)
        if observed.model.status.state == "STARTING":
            return Plan()
        children = () if observed.pods else (Apply(child("Pod", "p")),)
        return Plan((told(state="STARTING"), *children), NEWS, 0.0)

    async with running(api, plan) as loop:
        await eventually(lambda: "/api/v1/namespaces/ns/pods/p" in api.objects and idle(loop)())
        assert loop.refusals.texts(KEY) == {"Model/m/status": "no"}
        await eventually(lambda: sum("/models/" in write for write in loop.writes()) >= 3)
        assert len(plans) < 20
        assert said(loop) == 0
        full[0] = False
        await eventually(lambda: loop.refusals.texts(KEY) == {} and idle(loop)())
        assert api.objects[MODEL_PATH]["status"] == {"state": "STARTING"}
        assert said(loop) == 1


async def test_a_stale_switch_looks_again_at_the_live_service(api: FakeApi) -> None:
    seen: list[str | None] = []

    def plan(observed: Observed) -> Plan:
        live = observed.services[0].metadata.annotations.get("topgraft.dev/decision") if observed.services else None
        seen.append(live)
        return Plan() if live == "mine" else Plan((Switch(child("Service", "m", "mine"), live),))

    await api.client().apply(SERVICE, child("Service", "m", "theirs"))
    async with running(api, plan):
        await eventually(lambda: seen[-1:] == ["mine"])
    assert seen[:2] == [None, "theirs"]


async def test_an_object_that_the_caches_missed_is_looked_at_and_not_overwritten(api: FakeApi) -> None:
    before = await api.client().apply(POD, child("Pod", "p"))
    seen: list[int] = []

    def plan(observed: Observed) -> Plan:
        seen.append(len(observed.pods))
        return Plan() if observed.pods else Plan((Apply(child("Pod", "p"), new=True),))

    async with running(api, plan):
        await eventually(lambda: seen[-1:] == [1])
    assert api.objects["/api/v1/namespaces/ns/pods/p"] == before


@pytest.mark.parametrize("kind", ["Pod", "Service"])
async def test_an_object_whose_label_was_taken_away_comes_back_into_sight(api: FakeApi, kind: str) -> None:
    unlabelled = child(kind, "m", "one")
    del unlabelled["metadata"]["labels"]["topgraft.dev/model"]
    live = await api.client().apply(POD if kind == "Pod" else SERVICE, unlabelled)
    seen: list[int] = []

    def plan(observed: Observed) -> Plan:
        known = observed.pods or observed.services
        seen.append(len(known))
        body = child(kind, "m", "two")
        return Plan() if known else Plan((Apply(body, new=True) if kind == "Pod" else Switch(body, None),))

    async with running(api, plan):
        await eventually(lambda: seen[-1:] == [1])
    after = api.objects[f"/api/v1/namespaces/ns/{kind.lower()}s/m"]
    assert after["metadata"]["labels"]["topgraft.dev/model"] == "m"
    assert after["metadata"]["annotations"] == live["metadata"]["annotations"], "nothing else is touched"


async def test_claims_are_read_when_the_plan_asks_for_them(api: FakeApi) -> None:
    path = "/api/v1/namespaces/ns/persistentvolumeclaims/weights"
    meta = {**MODEL_OBJECT["metadata"], "name": "weights"}
    api.objects[path] = {"metadata": meta, "spec": {"accessModes": ["ReadWriteOnce"]}}
    answers: list[object] = []

    def plan(observed: Observed) -> Plan:
        answers.append(observed.claims.get("weights"))
        answers.append(observed.claims.get("missing", "unknown"))
        return Plan()

    async with running(api, plan) as loop:
        await eventually(idle(loop))
    assert answers[:2] == [None, "unknown"]
    assert getattr(answers[2], "name", None) == "weights"
    assert answers[3] is None
    assert len(answers) == 4, "read once, planned anew once"


async def test_the_events_of_stuck_pods_are_read_and_of_others_not(api: FakeApi) -> None:
    def pod(name: str, phase: str) -> Object:
        made = child("Pod", name, nodeName="n1")
        return {**made, "metadata": {**made["metadata"], "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
                "resourceVersion": "5"}, "status": {"phase": phase}}  # fmt: skip

    for time, text in (("2026-01-01T00:00:05Z", "old"), ("2026-01-01T00:00:09Z", "new")):
        meta = {**MODEL_OBJECT["metadata"], "name": text}
        event = {"metadata": meta, "reason": "FailedMount", "message": text, "lastTimestamp": time}
        api.objects[f"/api/v1/namespaces/ns/events/{text}"] = event
    said: list[dict[str, str]] = []

    def plan(observed: Observed) -> Plan:
        said.append({p.name: observed.pod_events.get(p.metadata.uid, "") for p in observed.pods})
        return Plan()

    async with running(api, plan) as loop:
        loop.caches.watched(POD, pod("stuck", "Pending"), gone=False)
        loop.caches.watched(POD, pod("fine", "Running"), gone=False)
        await eventually(lambda: said[-1:] == [{"stuck": "FailedMount: new", "fine": ""}])
    reads = [path for method, path in api.requests if "/events" in path]
    assert len(reads) == 1
    assert "fieldSelector=involvedObject.uid%3Dstuck,type%3DWarning" in reads[0]


async def test_events_are_posted_once_the_writes_are_done(api: FakeApi) -> None:
    about = {"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "namespace": "ns", "name": "m", "uid": "model"}

    def plan(observed: Observed) -> Plan:
        return Plan() if observed.pods else Plan((Apply(child("Pod", "p")),), (Event(about, "Normal", "Began", "x"),))

    async with running(api, plan) as loop:
        posting = asyncio.create_task(loop.recorder.run())
        await eventually(lambda: any("/events/" in path for path in api.objects))
        posting.cancel()
    event = next(obj for path, obj in api.objects.items() if "/events/" in path)
    assert (event["reason"], event["note"], event["regarding"]) == ("Began", "x", about)


async def test_without_the_lease_nothing_is_written_and_nothing_is_lost(api: FakeApi) -> None:
    leading = [False]

    def plan(observed: Observed) -> Plan:
        return Plan() if observed.pods else Plan((Apply(child("Pod", "p")),))

    async with running(api, plan, lambda: leading[0]) as loop:
        await eventually(idle(loop))
        assert loop.writes() == []
        leading[0] = True
        await eventually(lambda: len(loop.writes()) == 1)


async def test_a_server_in_trouble_is_asked_again(api: FakeApi) -> None:
    answers = [status(503), status(429), status(500)]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return answers.pop() if answers and request.method == "PATCH" else None

    api.faults.append(fault)

    def plan(observed: Observed) -> Plan:
        return Plan() if observed.pods else Plan((Apply(child("Pod", "p")),))

    async with running(api, plan):
        await eventually(lambda: "/api/v1/namespaces/ns/pods/p" in api.objects)


async def test_a_plan_that_fails_is_tried_again_and_stops_nobody_else(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def plan(observed: Observed) -> Plan:
        calls.append(observed.name)
        if calls.count("m") < 4 and observed.name == "m":
            raise RuntimeError("a bug")
        return Plan()

    other = {**MODEL_OBJECT, "metadata": {**MODEL_OBJECT["metadata"], "name": "n", "uid": "other"}}
    async with running(api, plan) as loop:
        loop.caches.watched(MODEL, other, gone=False)
        await eventually(lambda: calls.count("m") == 4)
    assert calls.index("n") < 3, "the other Model's turn comes before the third try"
    told_of = [record.__dict__.get("model") for record in caplog.records if record.exc_info]
    assert told_of == ["m"] * 3


async def test_idle_turns_leave_the_loop_to_others(api: FakeApi) -> None:
    calls: list[int] = []

    def plan(observed: Observed) -> Plan:
        calls.append(1)
        if len(calls) < 500:
            loop.queue.add(KEY)
        return Plan()

    async with running(api, plan) as loop:
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(calls) < 20


async def test_a_deletion_is_done_once_for_exactly_the_object_meant(api: FakeApi) -> None:
    live = await api.client().apply(POD, child("Pod", "p"))

    def plan(observed: Observed) -> Plan:
        return Plan(tuple(Delete("Pod", "ns", p.name, p.metadata.uid) for p in observed.pods))

    async with running(api, plan) as loop:
        api.requests.clear()
        loop.caches.watched(POD, live, gone=False)
        await eventually(lambda: not loop.caches.pods.owned_by(KEY) and idle(loop)())
        assert loop.writes() == ["DELETE /api/v1/namespaces/ns/pods/p"]


async def test_look_again_is_kept(api: FakeApi) -> None:
    calls: list[int] = []

    def plan(observed: Observed) -> Plan:
        calls.append(1)
        return Plan(look_again=0.01)

    async with running(api, plan):
        await eventually(lambda: len(calls) >= 5)


async def test_live_reads_age(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr(observer, "elapsed", lambda: seconds[0])
    reads: observer.LiveReads[int] = observer.LiveReads()
    reads.put("a", 1)
    assert reads.fresh() == {"a": 1}
    seconds[0] = observer.FRESH_SECONDS + 1
    assert reads.fresh() == {}
    seconds[0] = observer.KEPT_SECONDS + 1
    reads.fresh()
    assert len(reads) == 0


def new(kind: str, name: str, **labels: str) -> Apply:
    """An object that the plan takes for new, with labels of its own beside the Model's."""
    body = child(kind, name)
    body["metadata"]["labels"] = {"topgraft.dev/model": "m", **labels}
    return Apply(body, new=True)


@pytest.mark.parametrize("missing", ["topgraft.dev/version", "topgraft.dev/model"])
async def test_an_object_of_ours_gets_back_every_label_by_which_it_is_known(api: FakeApi, missing: str) -> None:
    live = child("Deployment", "v1")
    del live["metadata"]["labels"][missing]
    await api.client().apply(DEPLOYMENT, live)

    def plan(observed: Observed) -> Plan:
        known = any(one.version == "v1" for one in observed.deployments)
        return Plan() if known else Plan((Apply(child("Deployment", "v1"), new=True),))

    async with running(api, plan) as loop:
        loop.caches.read(DEPLOYMENT, api.objects[DEPLOYMENT.url("ns", "v1")])
        await eventually(lambda: any(one.version == "v1" for one in loop.caches.deployments.owned_by(KEY)))
        await eventually(idle(loop))
        assert loop.refusals.texts(KEY) == {}


@pytest.mark.parametrize("ends", [False, True])
async def test_what_stays_in_the_way_is_told_and_holds_up_nothing_else(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr(refusals, "FIRST_WAIT", 0.05)
    path = DEPLOYMENT.url("ns", "m-next")
    other = new("Deployment", "m-next", **{"topgraft.dev/branch": "next"}).body
    if ends:
        other["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}
    before = await api.client().apply(DEPLOYMENT, other)
    mine = {"topgraft.dev/version": "m-next"}

    def plan(observed: Observed) -> Plan:
        assert observed.model
        state = "DEGRADED" if observed.refusals else "ACTIVE"
        told_state = [told(state=state)] if observed.model.status.state != state else []
        made = any(one.version == "m-next" for one in observed.deployments)
        return Plan((*(() if made else (new("Deployment", "m-next", **mine),)), *told_state))

    async with running(api, plan) as loop:
        loop.caches.read(DEPLOYMENT, before)
        await eventually(lambda: api.objects[MODEL_PATH].get("status") == {"state": "DEGRADED"})
        assert api.objects[path] == before, "it is another child of ours: its labels stay"
        (text,) = loop.refusals.texts(KEY).values()
        assert ("waits for foregroundDeletion" in text) is ends
        states = sum(write.endswith("/status") for write in loop.writes())
        await eventually(lambda: sum(path in p for m, p in api.requests if m == "GET") >= 6)
        assert sum(write.endswith("/status") for write in loop.writes()) == states, "further tries say nothing"
        del api.objects[path]
        await eventually(lambda: api.objects[MODEL_PATH]["status"] == {"state": "ACTIVE"})
        assert api.objects[path]["metadata"]["labels"]["topgraft.dev/version"] == "m-next"
