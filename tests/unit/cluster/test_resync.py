import pytest
from aiohttp import web
from fakeapi import FakeApi, Object, status
from topgraft.cluster.caches import Caches
from topgraft.cluster.errors import Expired
from topgraft.cluster.kinds import POD
from topgraft.cluster.queue import Key
from topgraft.cluster.resync import Resync

M = ("ns", "m")


def pod(name: str, namespace: str = "ns") -> Object:
    meta = {"namespace": namespace, "name": name, "labels": {"topgraft.dev/model": "m"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def made(api: FakeApi, namespaces: list[str] | None = None) -> tuple[Caches, Resync, list[Key]]:
    woken: list[Key] = []
    caches = Caches(woken.append, by_namespace=bool(namespaces))
    return caches, Resync(api.client(), caches, namespaces or []), woken


def names(caches: Caches) -> list[str]:
    return sorted(one.name for one in caches.pods.owned_by(M))


async def test_missed_objects_and_missed_deletions_are_repaired_and_wake_their_model(api: FakeApi) -> None:
    # The fake lists by path: a namespaced list shows what is in there.
    caches, resync, woken = made(api, ["ns"])
    client = api.client()
    for name in ("kept", "lost"):
        caches.watched(POD, await client.apply(POD, pod(name)), gone=False)
    lost = api.objects.pop("/api/v1/namespaces/ns/pods/lost")
    await client.apply(POD, pod("missed"))
    woken.clear()
    assert await resync.once(expect=True) == {M}
    assert names(caches) == ["kept", "missed"]
    assert woken
    assert await resync.once(expect=True) == set(), "nothing is left to repair"
    caches.watched(POD, lost, gone=False)
    assert names(caches) == ["kept", "missed"], "an old event brings back nothing"


async def test_what_the_watch_had_not_brought_is_owed_and_a_missed_deletion_is_not(api: FakeApi) -> None:
    caches, resync, _ = made(api, ["ns"])
    caches.watched(POD, await api.client().apply(POD, pod("lost")), gone=False)
    api.objects.clear()
    api.version += 1
    await resync.once(expect=True)
    assert caches.echoes.silence() == 0
    await api.client().apply(POD, pod("missed"))
    await resync.once(expect=True)
    assert caches.echoes.silence() > 0


async def test_a_list_that_expires_is_begun_anew(api: FakeApi) -> None:
    answers = [status(410), status(410)]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return answers.pop() if answers and request.path.endswith("/pods") else None

    api.faults.append(fault)
    await api.client().apply(POD, pod("p"))
    caches, resync, _ = made(api, ["ns"])
    await resync.once(expect=False)
    assert names(caches) == ["p"]
    answers.extend(status(410) for _ in range(3))
    with pytest.raises(Expired):
        await resync.once(expect=False)


async def test_only_the_named_namespaces_are_listed(api: FakeApi) -> None:
    await api.client().apply(POD, pod("here"))
    await api.client().apply(POD, pod("there", "other"))
    caches, resync, _ = made(api, ["ns"])
    await resync.once(expect=False)
    assert len(caches.pods) == 1
    assert all("/namespaces/ns/" in path for method, path in api.requests if method == "GET")
