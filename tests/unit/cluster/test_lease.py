import asyncio

import pytest
from aiohttp import web
from fakeapi import FakeApi, eventually, status
from topgraft.cluster import lease
from topgraft.cluster.lease import DEADLINE, DURATION, WARN_EVERY, Elector, LeaseLost

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/topgraft"


class Time:
    """The clock of one machine; it moves when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    moving = Time()
    monkeypatch.setattr(lease, "elapsed", moving)
    monkeypatch.setattr(lease, "RENEW_EVERY", 0.005)
    monkeypatch.setattr(lease, "POLL_EVERY", 0.005)
    return moving


def elector(api: FakeApi, pod: str | None = None) -> Elector:
    return Elector(api.client(timeout=0.3), "ns", "topgraft", "host", pod)


async def polls(api: FakeApi, number: int = 5) -> None:
    """Let the electors do some rounds."""
    until = len(api.requests) + number
    await eventually(lambda: len(api.requests) >= until)


async def test_the_first_one_leads_and_renews(api: FakeApi, time: Time) -> None:
    one = elector(api)
    assert not one.valid()
    await one.acquire()
    holding = asyncio.create_task(one.hold())
    for _ in range(5):
        time.seconds += DEADLINE * 0.9
        await polls(api)
        assert one.valid(), "held beyond its duration by renewals"
    holding.cancel()


async def test_a_dead_holder_is_followed_after_the_duration_and_not_before(api: FakeApi, time: Time) -> None:
    dead, next_one = elector(api), elector(api)
    await dead.acquire()
    taking = asyncio.create_task(next_one.acquire())
    await polls(api)
    time.seconds += DURATION
    assert not dead.valid(), "the fence closes before anybody else may lead"
    await polls(api)
    assert not taking.done()
    time.seconds += 0.1
    await asyncio.wait_for(taking, 3)
    assert next_one.valid()
    assert api.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_holder_that_renews_is_never_followed(api: FakeApi, time: Time) -> None:
    one, two = elector(api), elector(api)
    await one.acquire()
    holding, taking = asyncio.create_task(one.hold()), asyncio.create_task(two.acquire())
    for _ in range(10):
        time.seconds += DURATION * 0.6
        await polls(api, 8)
    assert not taking.done()
    holding.cancel()
    taking.cancel()


async def test_a_clean_end_hands_over_at_once(api: FakeApi) -> None:
    one, two = elector(api), elector(api)
    await one.acquire()
    waiting = asyncio.create_task(two.acquire())
    await eventually(lambda: two.standing_by)
    await one.release()
    await asyncio.wait_for(waiting, 3)
    assert not one.valid()
    assert two.valid()
    assert not two.standing_by


async def test_an_end_in_the_middle_of_a_renewal_hands_over_all_the_same(api: FakeApi) -> None:
    one, two = elector(api), elector(api)
    await one.acquire()
    before = one._lease
    await one._renew()
    one._lease = before  # the server has stored the renewal, its answer was cut off
    await one.release()
    assert await two._try()


async def test_a_restarted_container_of_the_same_pod_does_not_wait(api: FakeApi) -> None:
    before, after = elector(api, pod="pod-a"), elector(api, pod="pod-a")
    await before.acquire()
    await asyncio.wait_for(after.acquire(), 3)
    with pytest.raises(LeaseLost):
        await before.hold()


async def test_two_processes_of_one_host_outside_of_pods_do_not_take_over_each_other(api: FakeApi) -> None:
    one, two = elector(api), elector(api)
    await one.acquire()
    taking = asyncio.create_task(two.acquire())
    await polls(api)
    assert not taking.done()
    taking.cancel()


async def test_an_ex_leader_that_wakes_up_may_not_write_and_learns_that_it_lost(api: FakeApi, time: Time) -> None:
    stopped, next_one = elector(api), elector(api)
    await stopped.acquire()
    taking = asyncio.create_task(next_one.acquire())
    await polls(api)
    time.seconds += DURATION + 1
    await taking
    assert not stopped.valid()
    with pytest.raises(LeaseLost, match=next_one.identity):
        await stopped.hold()
    assert api.objects[PATH]["spec"]["holderIdentity"] == next_one.identity


async def test_a_deleted_lease_is_lost(api: FakeApi) -> None:
    one = elector(api)
    await one.acquire()
    del api.objects[PATH]
    with pytest.raises(LeaseLost, match="deleted"):
        await one.hold()


async def test_an_unreachable_server_pauses_writing_and_loses_nothing(api: FakeApi, time: Time) -> None:
    one = elector(api)
    await one.acquire()

    async def down(_: web.Request) -> web.StreamResponse:
        return status(503)

    api.faults.append(down)
    holding = asyncio.create_task(one.hold())
    await polls(api)
    time.seconds += DEADLINE
    assert not one.valid()
    await polls(api)
    api.faults.clear()
    await eventually(one.valid)
    assert not holding.done()
    holding.cancel()


async def test_a_renewal_whose_answer_was_lost_is_no_loss(api: FakeApi, time: Time) -> None:
    one = elector(api)
    await one.acquire()
    swallowed: list[str] = []

    async def swallow(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PUT" and not swallowed:
            swallowed.append("answer")
            await api.do_put(request)
            return status(504)
        return None

    api.faults.append(swallow)
    holding = asyncio.create_task(one.hold())
    await eventually(lambda: bool(swallowed))
    time.seconds += DEADLINE
    await eventually(one.valid)
    assert not holding.done()
    holding.cancel()


async def test_a_renewal_counts_from_before_it_was_sent(api: FakeApi, time: Time) -> None:
    one = elector(api)

    async def slow(request: web.Request) -> None:
        if request.method == "POST":
            time.seconds += DEADLINE

    api.faults.append(slow)
    await one.acquire()
    assert not one.valid()


async def test_of_many_that_start_together_one_leads(api: FakeApi) -> None:
    electors = [elector(api) for _ in range(5)]
    tasks = [asyncio.create_task(one.acquire()) for one in electors]
    await polls(api, 25)
    assert sum(one.valid() for one in electors) == 1
    for task in tasks:
        task.cancel()


async def test_a_lease_that_cannot_be_had_is_told_again_and_again_but_not_at_each_try(
    api: FakeApi, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_namespace(_: web.Request) -> web.StreamResponse:
        return status(404, 'namespaces "ns" not found')

    api.faults.append(no_namespace)
    acquiring = asyncio.create_task(elector(api).acquire())

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    await polls(api, 8)
    assert len(warnings()) == 1
    assert "cannot read or write the Lease ns/topgraft" in warnings()[0]
    time.seconds += WARN_EVERY
    await polls(api, 8)
    assert len(warnings()) == 2
    acquiring.cancel()


async def test_giving_back_what_is_not_held_does_nothing(api: FakeApi) -> None:
    await elector(api).release()
    assert api.requests == []
