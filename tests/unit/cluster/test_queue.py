import asyncio

import pytest
from topgraft.cluster import queue
from topgraft.cluster.queue import Key, WorkQueue

A, B = ("ns", "a"), ("ns", "b")


async def soon(work: WorkQueue, seconds: float = 0.05) -> Key | None:
    """The next key, or None when none comes in time."""
    try:
        return await asyncio.wait_for(work.get(), seconds)
    except TimeoutError:
        return None


async def test_many_wake_ups_are_one_turn() -> None:
    work = WorkQueue()
    for _ in range(5):
        work.add(A)
    assert await soon(work) == A
    work.done(A)
    assert await soon(work) is None


async def test_a_key_is_in_one_pair_of_hands_and_a_wake_up_meanwhile_is_kept() -> None:
    work = WorkQueue()
    work.add(A)
    assert await soon(work) == A
    work.add(A)
    work.add(B)
    assert await soon(work) == B
    assert await soon(work) is None, "A is still being worked on"
    work.done(A)
    assert await soon(work) == A


async def test_the_earliest_timer_wins() -> None:
    work = WorkQueue()
    work.add_after(A, 30)
    work.add_after(A, 0.02)
    work.add_after(A, 60)
    assert await soon(work, 0.5) == A
    work.done(A)
    assert await soon(work) is None


async def test_a_turn_clears_the_timer() -> None:
    work = WorkQueue()
    work.add_after(A, 0.05)
    work.add(A)
    assert await soon(work) == A
    work.done(A)
    assert await soon(work, 0.1) is None


async def test_retries_wait_longer_each_time_up_to_a_limit_and_start_anew_after_success() -> None:
    work = WorkQueue()
    delays = [work.retry(A) for _ in range(40)]
    assert delays[0] <= queue.FIRST_RETRY
    assert all(delay <= queue.LONGEST_RETRY for delay in delays)
    assert delays[-1] >= queue.LONGEST_RETRY / 2
    work.succeeded(A)
    assert work.retry(A) <= queue.FIRST_RETRY
    work.close()


async def test_the_servers_wish_is_honoured() -> None:
    work = WorkQueue()
    assert work.retry(A, at_least=7.0) == pytest.approx(7.0)
    work.close()


async def test_close_frees_every_worker_and_hands_out_nothing_more() -> None:
    work = WorkQueue()
    waiting = [asyncio.create_task(work.get()) for _ in range(3)]
    await asyncio.sleep(0)
    work.close()
    work.add(A)
    assert await asyncio.gather(*waiting) == [None, None, None]
    assert await work.get() is None


async def test_no_wake_up_is_lost_under_many_workers() -> None:
    work = WorkQueue()
    wanted = {("ns", str(i)): 0 for i in range(20)}
    done = dict(wanted)
    running: set[Key] = set()

    async def worker() -> None:
        while (key := await work.get()) is not None:
            assert key not in running
            running.add(key)
            seen = wanted[key]
            await asyncio.sleep(0)
            done[key] = seen
            running.remove(key)
            work.done(key)

    workers = [asyncio.create_task(worker()) for _ in range(5)]
    for step in range(2000):
        key = ("ns", str(step * 7 % 20))
        wanted[key] += 1
        work.add(key)
        if step % 3 == 0:
            await asyncio.sleep(0)
    while len(work) or work.busy:  # noqa: ASYNC110 - the queue has no reason to tell
        await asyncio.sleep(0)
    work.close()
    await asyncio.gather(*workers)
    assert done == wanted
