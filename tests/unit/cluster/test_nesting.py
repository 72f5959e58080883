"""Objects nested deeper than Python's parser goes: a single one, of anybody, ended the process at each start."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientSession, web
from fakeapi import FakeApi, Object
from hypothesis import given
from hypothesis import strategies as st
from topgraft.cluster.caches import Caches
from topgraft.cluster.errors import Unavailable
from topgraft.cluster.kinds import CONFIG_MAP, HTTP_ROUTE
from topgraft.cluster.nesting import DEEPEST, cut, loads
from topgraft.cluster.resync import Resync
from topgraft.cluster.watch import Response

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a"\\{}[],:é')),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"\\{}[]')), inner, max_size=3)
    ),
)


def deep(levels: int) -> bytes:
    """The managedFields of a hostile writer."""
    return b'{"f:a{":' * levels + b"{}" + b"}" * levels


def config_map(levels: int) -> bytes:
    meta = (
        b'{"name":"evil","namespace":"ns","uid":"u1","resourceVersion":"6","labels":{"topgraft.dev/model":"m"},'
        b'"creationTimestamp":"2026-01-01T00:00:00Z","managedFields":[{"manager":"me","fieldsV1":%s}]}' % deep(levels)
    )
    return b'{"apiVersion":"v1","kind":"ConfigMap","metadata":%s}' % meta


@given(VALUES)
def test_what_is_not_too_deep_stays_as_it_is(value: Any) -> None:
    text = json.dumps(value).encode()
    assert cut(text) == text
    assert loads(text) == value


@pytest.mark.parametrize("levels", [DEEPEST + 1, 1_200, 9_999])
def test_what_is_too_deep_is_null_and_the_rest_is_read(levels: int) -> None:
    text = b'{"a":%s,"b":[1,"}{"],"c":%s}' % (deep(levels), b"[" * levels + b"]" * levels)
    found: Any = json.loads(cut(text))
    assert found["b"] == [1, "}{"]
    depth, inner = 1, found["a"]
    while inner is not None:
        depth, inner = depth + 1, inner["f:a{"]
    assert depth == DEEPEST
    assert loads(text)["b"] == [1, "}{"]


@pytest.mark.parametrize("text", [b"<html>", b"[" * 5_000, b'"', b'{"a":"' * 2_000, b""])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|line 1"):
        loads(text)


async def test_the_caches_are_filled_over_an_object_nested_too_deep(api: FakeApi) -> None:
    async def fault(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/configmaps"):
            return None
        body = b'{"metadata":{"resourceVersion":"7"},"items":[%s]}' % config_map(1_200)
        return web.Response(body=body, content_type="application/json")

    api.faults.append(fault)
    caches = Caches(lambda key: None)
    await asyncio.wait_for(Resync(api.client(), caches, []).fill(), 5)
    assert len(caches.config_maps) == 1


async def test_an_answer_that_is_no_json_is_asked_for_again(api: FakeApi) -> None:
    async def fault(_: web.Request) -> web.StreamResponse | None:
        return web.Response(text="<html>")

    api.faults.append(fault)
    with pytest.raises(Unavailable, match="not JSON"):
        await api.client().get(CONFIG_MAP, "ns", "m")


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    plain = json.dumps({"type": "ADDED", "object": {"metadata": {"uid": "u0"}}}).encode()
    text = b"".join(b"%s\n" % line for line in (plain, b'{"type":"ADDED","object":%s}' % config_map(1_200), plain))
    for start in range(0, len(text), 1_000):
        await response.write(text[start : start + 1_000])
        await asyncio.sleep(0)
    await response.write_eof()
    return response


async def test_our_own_watch_goes_on_over_it(api: FakeApi) -> None:
    api.faults.append(events)
    found = [event["object"] async for event in api.client().watch(HTTP_ROUTE, None, 1, 5)]
    assert [obj["metadata"]["uid"] for obj in found] == ["u0", "u1", "u0"]


async def test_kopfs_lists_and_watches_get_only_what_can_be_parsed(api: FakeApi) -> None:
    async def fault(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await events(request)
        return web.Response(body=b'{"items":[%s]}' % config_map(1_200), content_type="application/json")

    api.faults.append(fault)
    async with ClientSession(response_class=Response) as session:
        async with session.get(f"{api.url}/api/v1/configmaps") as listed:
            items: list[Object] = (await listed.json())["items"]
        async with session.get(f"{api.url}/api/v1/configmaps?watch=true") as watched:
            lines = b"".join([chunk async for chunk in watched.content.iter_chunked(100)]).splitlines()
        async with session.get(f"{api.url}/api/v1/configmaps?watch=true") as closed:
            closed.close()
            assert closed.content.exception() is not None, "kopf ends a watch by closing its response"
    assert items[0]["metadata"]["name"] == "evil"
    assert [json.loads(line)["object"]["metadata"]["uid"] for line in lines] == ["u0", "u1", "u0"]
