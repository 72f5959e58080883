import asyncio

import pytest
from aiohttp import web
from fakeapi import FakeApi, eventually, status
from topgraft.cluster import recorder
from topgraft.cluster.recorder import Recorder
from topgraft.rollout.instructions import Event

ABOUT = {"apiVersion": "topgraft.dev/v1alpha1", "kind": "Model", "namespace": "ns", "name": "m", "uid": "u"}


def said(api: FakeApi) -> list[str]:
    return [obj["note"] for path, obj in api.objects.items() if "/events/" in path]


async def test_the_same_news_twice_is_one_event_also_from_another_process(api: FakeApi) -> None:
    for instance in ("before", "after a restart"):
        one = Recorder(api.client(), instance)
        posting = asyncio.create_task(one.run())
        one.record(Event(ABOUT, "Normal", "Switched", "to v2"))
        one.record(Event(ABOUT, "Normal", "Switched", "to v2"))
        await one.flush(3)
        posting.cancel()
    assert said(api) == ["to v2"]


async def test_an_event_is_complete_and_fits(api: FakeApi) -> None:
    one = Recorder(api.client(), "pod-a")
    posting = asyncio.create_task(one.run())
    one.record(Event(ABOUT, "Warning", "RolledBack", "x" * 5000))
    await one.flush(3)
    posting.cancel()
    path, event = next(iter(api.objects.items()))
    assert path.startswith("/apis/events.k8s.io/v1/namespaces/ns/events/m.")
    assert len(event["note"]) == 1024
    assert event["type"] == "Warning"
    assert event["reason"] == event["action"] == "RolledBack"
    assert event["reportingController"] == "topgraft.dev/operator"
    assert event["reportingInstance"] == "pod-a"
    assert event["regarding"] == ABOUT


async def test_an_event_is_tried_again_and_then_dropped(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "PAUSE", 0.001)
    answers = [status(503)]

    async def fault(_: web.Request) -> web.StreamResponse | None:
        return answers.pop() if answers else None

    api.faults.append(fault)
    one = Recorder(api.client(), "pod-a")
    posting = asyncio.create_task(one.run())
    one.record(Event(ABOUT, "Normal", "First", "a"))
    await eventually(lambda: said(api) == ["a"])
    answers.extend(status(503) for _ in range(recorder.TRIES))
    one.record(Event(ABOUT, "Normal", "Second", "b"))
    one.record(Event(ABOUT, "Normal", "Third", "c"))
    await eventually(lambda: said(api) == ["a", "c"])
    posting.cancel()


async def test_recording_never_waits_and_never_fails(api: FakeApi) -> None:
    one = Recorder(api.client(), "pod-a")
    for number in range(recorder.WAITING + 10):
        one.record(Event(ABOUT, "Normal", "Many", str(number)))
    await one.flush(0.01)
