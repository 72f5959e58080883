"""Two operators, one Lease, on the real API server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_objects import minimal
from support.live import Kubectl, Operator, wait_until

Start = Callable[[str], Operator]


@pytest.fixture
def live(namespace: str) -> Kubectl:
    return Kubectl(namespace)


@pytest.fixture
def start(namespace: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Operator] = []

    def one(name: str) -> Operator:
        started.append(Operator(namespace, tmp_path / f"{name}.log", name=name))
        return started[-1].start()

    yield one
    for operator in started:
        operator.stop()


def leads(operator: Operator) -> bool:
    return "topgraft_leader 1.0" in operator.metrics()


def holder(live: Kubectl) -> str:
    return str(live.get("lease", "topgraft").get("spec", {}).get("holderIdentity", ""))


def works(live: Kubectl, description: str) -> None:
    body = minimal("Model")
    live.apply({**body, "spec": {**body["spec"], "description": description}})
    wait_until(
        lambda: (got := live.get("model", "digits"))["status"]["observedGeneration"] == got["metadata"]["generation"],
        10,
        "somebody works",
    )


def test_both_are_ready_and_one_leads(live: Kubectl, start: Start) -> None:
    one, two = start("one"), start("two")
    assert (leads(one), leads(two)) == (True, False)
    assert holder(live).startswith("one_")
    works(live, "first")


def test_a_clean_end_hands_over_within_two_seconds(live: Kubectl, start: Start) -> None:
    one, two = start("one"), start("two")
    began = time.monotonic()
    one.stop()
    wait_until(lambda: leads(two), 5, "the other one leads", every=0.02)
    took = time.monotonic() - began
    print(f"takeover after a clean end: {took:.2f} s")
    assert took < 2
    assert one.wait(1) == 0
    works(live, "second")


def test_after_a_kill_the_other_one_leads_within_twenty_seconds(live: Kubectl, start: Start) -> None:
    one, two = start("one"), start("two")
    began = time.monotonic()
    one.kill()
    wait_until(lambda: leads(two), 25, "the other one leads", every=0.05)
    took = time.monotonic() - began
    print(f"takeover after SIGKILL: {took:.2f} s")
    assert took < 20
    works(live, "second")


def test_the_same_pods_next_container_leads_at_once(live: Kubectl, start: Start) -> None:
    start("one").kill()
    began = time.monotonic()
    again = start("one")
    wait_until(lambda: leads(again), 10, "the restarted one leads")
    print(f"back after SIGKILL in the same pod: {time.monotonic() - began:.2f} s")
    works(live, "again")


def test_an_ex_leader_that_wakes_up_writes_nothing_and_ends(live: Kubectl, start: Start) -> None:
    one, two = start("one"), start("two")
    works(live, "first")
    one.pause()
    wait_until(lambda: leads(two), 25, "the other one leads")
    # Work for it lies in its sockets when it wakes up.
    works(live, "second")
    said = len(one.tail(10_000))
    one.resume()
    assert one.wait(5) == 1
    last_words = one.tail(10_000)[said:]
    assert "held by two_" in last_words
    assert "wrote" not in last_words
    assert holder(live).startswith("two_")
    works(live, "third")
