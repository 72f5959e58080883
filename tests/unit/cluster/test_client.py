import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from fakeapi import FakeApi, Object, status
from topgraft.cluster.client import StaleObject
from topgraft.cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Gone,
    NotLeading,
    NotOwned,
    Refused,
    Unavailable,
)
from topgraft.cluster.kinds import DEPLOYMENT, MODEL, POD, SERVICE


def service(decision: str = "one", owner: str = "model-uid", **metadata: Any) -> Object:
    meta = {"namespace": "ns", "name": "m", "annotations": {"topgraft.dev/decision": decision}, **metadata}
    owners = [{"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "name": "m", "uid": owner}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Refused),
        (401, Unavailable),
        (403, Refused),
        (404, Gone),
        (409, Conflict),
        (410, Expired),
        (422, Refused),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_each_answer_has_its_error_with_the_servers_text(
    api: FakeApi, code: int, error: type[ClusterError]
) -> None:
    async def fault(_: web.Request) -> web.StreamResponse:
        return status(code, "exceeded quota: pods", **{"Retry-After": "3"})

    api.faults.append(fault)
    with pytest.raises(error, match="exceeded quota") as caught:
        await api.client().apply(SERVICE, service())
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after == 3


async def test_a_cut_connection_is_unavailable(api: FakeApi) -> None:
    async def fault(request: web.Request) -> web.StreamResponse | None:
        assert request.transport is not None
        request.transport.close()
        return None

    api.faults.append(fault)
    with pytest.raises(Unavailable):
        await api.client().apply(SERVICE, service())


async def test_a_silent_server_is_unavailable_in_time(api: FakeApi) -> None:
    async def fault(_: web.Request) -> None:
        await asyncio.sleep(1)

    api.faults.append(fault)
    with pytest.raises(Unavailable, match="Timeout"):
        await api.client(timeout=0.05).get(SERVICE, "ns", "m")


async def test_who_does_not_lead_writes_nothing(api: FakeApi) -> None:
    client = api.client(may_write=lambda: False)
    with pytest.raises(NotLeading):
        await client.apply(SERVICE, service())
    with pytest.raises(NotLeading):
        await client.delete(POD, "ns", "p", "uid")
    assert api.requests == []


async def test_the_right_to_write_is_asked_again_between_the_look_and_the_switch(api: FakeApi) -> None:
    await api.client().apply(SERVICE, service("one"))
    leading = [True]

    async def fault(request: web.Request) -> None:
        leading[0] = request.method != "GET"

    api.faults.append(fault)
    with pytest.raises(NotLeading):
        await api.client(may_write=lambda: leading[0]).switch(service("two"), "one")


async def test_apply_is_forced_strict_and_ours(api: FakeApi) -> None:
    await api.client().apply(SERVICE, service())
    method, path = api.requests[0]
    assert method == "PATCH"
    assert path.startswith("/api/v1/namespaces/ns/services/m?")
    assert "fieldManager=topgraft" in path
    assert "force=true" in path
    assert "fieldValidation=Strict" in path


async def test_status_goes_to_the_subresource(api: FakeApi) -> None:
    body = {"metadata": {"namespace": "ns", "name": "m"}, "status": {}}
    await api.client().apply_status(MODEL, body)
    assert api.requests[0][1].startswith("/apis/topgraft.dev/v1alpha1/namespaces/ns/models/m/status?")


async def test_switch_writes_only_over_the_decision_it_was_planned_on(api: FakeApi) -> None:
    client = api.client()
    first = await client.switch(service("one"), None)
    second = await client.switch(service("two"), "one")
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    with pytest.raises(StaleObject) as stale:
        await client.switch(service("three"), "one")
    assert stale.value.live == second


async def test_switch_meets_a_conflict_when_somebody_writes_in_between(api: FakeApi) -> None:
    client = api.client()
    await client.switch(service("one"), None)

    async def fault(request: web.Request) -> None:
        if request.method == "PATCH" and "resourceVersion" in json.loads(await request.text())["metadata"]:
            api.faults.clear()
            await api.client().apply(SERVICE, service("foreign"))

    api.faults.append(fault)
    with pytest.raises(Conflict):
        await client.switch(service("two"), "one")


async def test_switch_of_a_service_that_vanished_is_stale(api: FakeApi) -> None:
    with pytest.raises(StaleObject) as stale:
        await api.client().switch(service("two"), "one")
    assert stale.value.live is None


async def test_a_foreign_service_is_left_alone(api: FakeApi) -> None:
    client = api.client()
    foreign = service()
    del foreign["metadata"]["ownerReferences"]
    before = await client.apply(SERVICE, foreign)
    with pytest.raises(NotOwned, match="Service m exists"):
        await client.switch(service("one"), None)
    assert await client.get(SERVICE, "ns", "m") == before


async def test_new_objects_never_take_over_others(api: FakeApi) -> None:
    client = api.client()
    body = {**service(owner="one"), "kind": "Deployment"}
    _, written = await client.create_owned(DEPLOYMENT, body)
    assert written
    _, written = await client.create_owned(DEPLOYMENT, body)
    assert not written
    with pytest.raises(NotOwned):
        await client.create_owned(DEPLOYMENT, {**service(owner="other"), "kind": "Deployment"})


async def test_delete_hits_only_the_object_that_was_meant(api: FakeApi) -> None:
    client = api.client()
    live = await client.apply(SERVICE, service())
    assert await client.delete(SERVICE, "ns", "m", "another-uid") is None
    assert await client.get(SERVICE, "ns", "m") == live
    assert await client.delete(SERVICE, "ns", "m", live["metadata"]["uid"]) is None
    with pytest.raises(Gone):
        await client.get(SERVICE, "ns", "m")
    assert await client.delete(SERVICE, "ns", "m", live["metadata"]["uid"]) is None


async def test_an_answer_that_never_was_stored_means_gone(api: FakeApi) -> None:
    """A pod that the kubelet took away while the API server marked it for deletion comes back without a version."""

    async def fault(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Pod", "metadata": {"name": "p", "uid": "uid"}})

    api.faults.append(fault)
    assert await api.client().delete(POD, "ns", "p", "uid") is None


async def test_lists_come_in_pages_of_one_version(api: FakeApi) -> None:
    client, kind = api.client(), replace(SERVICE, page=2)
    for number in range(5):
        await client.apply(SERVICE, service(name=f"s{number}"))
    pages = [([one["metadata"]["name"] for one in page], version) async for page, version in client.pages(kind, "ns")]
    assert [names for names, _ in pages] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert len({version for _, version in pages}) == 1
    assert all("labelSelector=topgraft.dev/model" in path for method, path in api.requests if method == "GET")


async def test_a_group_that_the_server_does_not_know_serves_nothing(api: FakeApi) -> None:
    assert await api.client().served("topgraft.dev", "v1alpha1") == set()
