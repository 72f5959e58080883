from topgraft.api.model import Model
from topgraft.cluster.cache import Cache
from topgraft.cluster.queue import Key
from topgraft.cluster.slots import Slots


class Fleet:
    """Models by their status alone."""

    def __init__(self) -> None:
        self.models = Cache(Model.model_validate, lambda obj: (obj["metadata"]["namespace"], obj["metadata"]["name"]))
        self.version = 0

    def set(
        self,
        name: str,
        *,
        rolling: bool = False,
        queued: int | None = None,
        ns: str = "ns",
        kind: str = "Reconciling",
        **rollout: str,
    ) -> Key:
        self.version += 1
        times = {"lastTransitionTime": f"2026-01-01T00:00:{queued or 0:02}Z"}
        queue = {"type": kind, "status": "True", "reason": "Queued", "message": "", **times}
        record = {"attemptHash": "a", "to": "v", "startTime": "2026-01-01T00:00:00Z", "step": "Preparing", **rollout}
        status = {
            "conditions": [queue] if queued is not None else [],
            **({"rollout": record} if rolling else {}),
        }
        meta = {"name": name, "namespace": ns, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        meta["resourceVersion"] = str(self.version)
        self.models.observe({"metadata": meta, "spec": {"modelTypeId": "t"}, "status": status})
        return (ns, name)


def test_without_a_limit_everybody_starts() -> None:
    fleet = Fleet()
    slots = Slots(None, None, fleet.models)
    for name in "abc":
        fleet.set(name, rolling=True)
    assert slots.may_start(fleet.set("d"))
    assert slots.next() == []


def test_the_limit_counts_rollouts_in_progress() -> None:
    fleet = Fleet()
    slots = Slots(2, None, fleet.models)
    a, b, c = fleet.set("a", rolling=True), fleet.set("b"), fleet.set("c")
    assert slots.may_start(b)
    fleet.set("b", rolling=True)
    assert not slots.may_start(c)
    assert slots.may_start(a), "who runs goes on"
    assert slots.holds(a)
    assert not slots.holds(c)


def test_between_the_decision_and_its_status_the_slot_is_taken() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    a, b = fleet.set("a"), fleet.set("b")
    assert slots.may_start(a)
    slots.starting(a)
    assert slots.may_start(a)
    assert not slots.may_start(b)
    slots.settled(a)
    assert slots.may_start(b), "a's start was not written after all"


def test_the_longest_waiting_goes_first_and_newcomers_do_not_overtake() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    running = fleet.set("running", rolling=True)
    late, early, newcomer = fleet.set("late", queued=30), fleet.set("early", queued=10), fleet.set("newcomer")
    assert slots.next() == []
    fleet.set(running[1])
    assert slots.next() == [early]
    assert slots.may_start(early)
    assert not slots.may_start(late)
    assert not slots.may_start(newcomer)


def test_a_rollout_that_waits_for_its_next_try_holds_nobody_up() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    fleet.set("waiting", rolling=True, retryTime="2026-01-01T00:10:00Z")
    assert slots.may_start(fleet.set("next"))


def test_a_retry_that_is_due_queues_by_the_time_it_was_due() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    running = fleet.set("running", rolling=True)
    late = fleet.set("late", queued=30)
    retry = fleet.set("retry", rolling=True, step="Queued", retryTime="2026-01-01T00:00:20Z")
    early = fleet.set("early", queued=10)
    waiting = [early, retry, late]
    for position, key in enumerate(waiting):
        assert slots.next() == []
        fleet.set(running[1])
        assert slots.next() == [waiting[position]]
        assert [slots.may_start(one) for one in waiting[position:]] == [True] + [False] * (2 - position)
        running = fleet.set(key[1], rolling=True)


def test_who_waits_for_a_person_holds_nobody_up() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    held = fleet.set("held", rolling=True, step="Held")
    assert not slots.holds(held)
    assert slots.may_start(fleet.set("next"))


def test_only_the_queues_own_condition_makes_a_model_wait() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    fleet.set("words", queued=1, kind="Ready")
    assert slots.next() == []
    assert slots.may_start(fleet.set("next"))


def test_one_namespace_does_not_take_all_slots() -> None:
    fleet = Fleet()
    slots = Slots(3, 1, fleet.models)
    greedy = [fleet.set("a", rolling=True, ns="x"), fleet.set("b", queued=1, ns="x"), fleet.set("c", ns="x")]
    late, newcomer = fleet.set("d", queued=20, ns="y"), fleet.set("e", ns="z")
    assert slots.next() == [late], "who waits for its own namespace holds up no other"
    assert [slots.may_start(key) for key in greedy] == [True, False, False]
    assert slots.may_start(late)
    assert slots.may_start(newcomer)
    fleet.set("d", rolling=True, ns="y")
    fleet.set("e", rolling=True, ns="z")
    assert not slots.may_start(fleet.set("f", ns="w")), "the limit of the whole operator holds too"
    fleet.set("a", ns="x")
    assert slots.next() == [greedy[1]]


def test_a_model_that_goes_frees_its_slot() -> None:
    fleet = Fleet()
    slots = Slots(1, None, fleet.models)
    fleet.set("a", rolling=True)
    waiting = fleet.set("b", queued=1)
    assert slots.next() == []
    fleet.models.forget("a", 99)
    assert slots.next() == [waiting]
    fleet.models.forget("b", 99)
    assert slots.next() == []


def test_the_limit_of_a_namespace_works_alone() -> None:
    fleet = Fleet()
    slots = Slots(None, 1, fleet.models)
    first, second = fleet.set("a", ns="x"), fleet.set("b", ns="x")
    slots.starting(first)
    assert not slots.may_start(second)
    assert slots.may_start(fleet.set("c", ns="y"))
