"""The watch of HTTPRoutes: a kind that the cluster may not have, or get later."""

import asyncio
import json
from contextlib import suppress

import pytest
from aiohttp import web
from fakeapi import FakeApi, Object, eventually, status
from topgraft.cluster import routes
from topgraft.cluster.caches import Caches
from topgraft.cluster.errors import Expired, Unavailable
from topgraft.cluster.kinds import HTTP_ROUTE
from topgraft.cluster.queue import Key
from topgraft.cluster.routes import Routes
from topgraft.rollout.routeview import GatewayApi

M = ("ns", "m")
LIST = "/apis/gateway.networking.k8s.io/v1"


def route(name: str, version: int, weight: int = 100) -> Object:
    labels = {"topgraft.dev/model": "m"}
    meta = {"namespace": "ns", "name": name, "labels": labels, "uid": f"u-{name}", "resourceVersion": str(version)}
    refs = [{"name": "m", "weight": weight}]
    spec = {"rules": [{"backendRefs": refs}]}
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return {"apiVersion": f"{HTTP_ROUTE.group}/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


class Cluster:
    """Serves the kind, or not, and plays the events of a watch."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.installed = True
        self.allowed = True
        self.events: list[Object] = []
        self.chunk = 7
        api.faults.append(self.answer)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        if request.path == LIST:
            return web.json_response({"resources": [{"name": "httproutes"}]}) if self.installed else status(404)
        if not self.allowed:
            return status(403, "forbidden")
        if "watch" not in request.query:
            return None
        response = web.StreamResponse()
        await response.prepare(request)
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in self.events)
        self.events.clear()
        for start in range(0, len(lines), self.chunk):
            await response.write(lines[start : start + self.chunk])
        return response


def made(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> tuple[Cluster, Caches, Routes, list[Key], list[bool]]:
    monkeypatch.setattr(routes, "ABSENT_SECONDS", 0.02)
    monkeypatch.setattr(routes, "RETRY_SECONDS", 0.02)
    woken: list[Key] = []
    told: list[bool] = []
    caches = Caches(woken.append, by_namespace=True)
    return Cluster(api), caches, Routes(api.client(), caches, ["ns"], lambda: told.append(True)), woken, told


def names(caches: Caches) -> list[str]:
    return sorted(one.name for one in caches.routes.owned_by(M))


async def test_lists_and_events_reach_the_mirror(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, caches, watched, woken, told = made(api, monkeypatch)
    api.objects[f"{LIST}/namespaces/ns/httproutes/kept"] = route("kept", 50)
    await watched.fill()
    assert (watched.state, names(caches), told) == (GatewayApi.READY, ["kept"], [True])
    woken.clear()
    cluster.events += [
        {"type": "ADDED", "object": route("new", 101)},
        {"type": "MODIFIED", "object": route("new", 102, weight=5)},
        {"type": "DELETED", "object": route("kept", 103)},
    ]
    following = asyncio.create_task(watched.follow("ns"))
    api.objects.clear()
    api.objects[f"{LIST}/namespaces/ns/httproutes/new"] = route("new", 102, weight=5)
    await eventually(lambda: names(caches) == ["new"])
    assert caches.routes.owned_by(M)[0].weight("m") == 5
    assert woken
    api.objects.clear()
    api.version = 200
    # Each watch begins with a list: a deletion that none of them told is seen by the next.
    await eventually(lambda: names(caches) == [])
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_a_write_between_two_watches_is_owed_by_none(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    _, caches, watched, *_ = made(api, monkeypatch)
    caches.wrote(HTTP_ROUTE, route("new", 90))
    api.objects[f"{LIST}/namespaces/ns/httproutes/new"] = route("new", 90)
    assert caches.echoes._owed[HTTP_ROUTE, "ns"]
    await watched.fill()
    assert not caches.echoes._owed[HTTP_ROUTE, "ns"]


async def test_the_kind_may_come_later_and_go_again(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, _, watched, _, told = made(api, monkeypatch)
    cluster.installed = False
    await watched.fill()
    assert (watched.state, told) == (GatewayApi.MISSING, [])
    following = asyncio.create_task(watched.follow("ns"))
    cluster.installed = True
    await eventually(lambda: watched.state is GatewayApi.READY)
    cluster.allowed = False
    await eventually(lambda: watched.state is GatewayApi.FORBIDDEN)
    cluster.installed = False
    await eventually(lambda: watched.state is GatewayApi.MISSING)
    assert len(told) == 3
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_a_watch_that_is_too_old_says_so(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, *_ = made(api, monkeypatch)
    cluster.events.append({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    with pytest.raises(Expired, match="too old"):
        await anext(api.client().watch(HTTP_ROUTE, "ns", 1, 5))


async def test_nonsense_on_the_watch_is_no_usable_answer(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nonsense(request: web.Request) -> web.StreamResponse | None:
        return web.Response(text="<html>\n") if "watch" in request.query else None

    api.faults.append(nonsense)
    with pytest.raises(Unavailable, match="watch"):
        await anext(api.client().watch(HTTP_ROUTE, "ns", 1, 5))
