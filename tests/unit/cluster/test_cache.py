from typing import Any

from topgraft.cluster.cache import Cache, Object
from topgraft.cluster.queue import Key


def obj(uid: str, version: int, model: str | None = "m", namespace: str = "ns", **more: Any) -> Object:
    labels = {"model": model} if model else {}
    metadata = {"uid": uid, "name": uid, "namespace": namespace, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, **more}


def owner(one: Object) -> Key | None:
    name = one["metadata"]["labels"].get("model")
    return (one["metadata"]["namespace"], name) if name else None


def make() -> Cache[str]:
    return Cache(lambda one: one["metadata"]["resourceVersion"], owner)


M, N = ("ns", "m"), ("ns", "n")


def test_only_news_touches_the_owner() -> None:
    cache = make()
    assert cache.observe(obj("a", 5)) == {M}
    assert cache.observe(obj("a", 5)) == set()
    assert cache.observe(obj("a", 4)) == set()
    assert cache.owned_by(M) == ("5",)


def test_versions_are_numbers_not_text() -> None:
    cache = make()
    cache.observe(obj("a", 9))
    assert cache.observe(obj("a", 10)) == {M}


def test_a_late_answer_does_not_bring_back_what_is_deleted() -> None:
    cache = make()
    cache.observe(obj("a", 5))
    assert cache.forget("a", 7) == {M}
    assert cache.observe(obj("a", 6)) == set()
    assert cache.owned_by(M) == ()


def test_an_object_whose_label_was_taken_and_given_back_is_seen_again() -> None:
    cache = make()
    cache.observe(obj("a", 5))
    cache.forget("a", 7)
    assert cache.observe(obj("a", 8)) == {M}


def test_an_object_that_moves_touches_both_owners() -> None:
    cache = make()
    cache.observe(obj("a", 5))
    assert cache.observe(obj("a", 6, model="n")) == {M, N}
    assert cache.owned_by(M) == ()
    assert cache.owned_by(N) == ("6",)


def test_sweep_drops_what_the_list_lacks_but_not_what_is_newer_than_the_list() -> None:
    cache = make()
    for uid, version in (("kept", 5), ("ghost", 6), ("young", 12)):
        cache.observe(obj(uid, version))
    assert cache.sweep({"kept"}, 10) == {M}
    assert cache.owned_by(M) == ("5", "12")


def test_sweep_of_one_namespace_leaves_the_others() -> None:
    cache = make()
    cache.observe(obj("here", 5))
    cache.observe(obj("there", 5, namespace="other"))
    assert cache.sweep(set(), 10, "ns") == {M}
    assert list(cache.owners()) == [("other", "m")]


def test_an_unreadable_object_is_left_out_and_the_rest_goes_on() -> None:
    def parse(one: Object) -> str:
        if "bad" in one:
            raise ValueError("bad")
        return "fine"

    cache = Cache(parse, owner)
    assert cache.observe(obj("a", 5, bad=True)) == set()
    assert cache.observe(obj("b", 5)) == {M}


def test_changes_are_counted_and_repetitions_are_not() -> None:
    cache = make()
    counts = [cache.changes]
    for step in (lambda: cache.observe(obj("a", 5)), lambda: cache.forget("a", 6)):
        step()
        counts.append(cache.changes)
        step()
        assert cache.changes == counts[-1]
    assert len(set(counts)) == 3


def test_nothing_stays_behind_for_an_owner_without_objects() -> None:
    cache = make()
    cache.observe(obj("a", 5))
    cache.forget("a", 6)
    assert list(cache.owners()) == []
