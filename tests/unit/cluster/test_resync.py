import pytest
from aiohttp import web
from fakeapi import FakeApi, Object, status
from topgraft.cluster.errors import Expired
from topgraft.cluster.kinds import POD
from topgraft.cluster.mirror import Mirror
from topgraft.cluster.queue import Key
from topgraft.cluster.resync import Resync

M = ("ns", "m")


def pod(name: str, namespace: str = "ns") -> Object:
    meta = {"namespace": namespace, "name": name, "labels": {"topgraft.dev/model": "m"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def made(api: FakeApi, namespaces: list[str] | None = None) -> tuple[Mirror, Resync, list[Key]]:
    woken: list[Key] = []
    mirror = Mirror(woken.append, by_namespace=bool(namespaces))
    return mirror, Resync(api.client(), mirror, namespaces or []), woken


def names(mirror: Mirror) -> list[str]:
    return sorted(one.name for one in mirror.pods.owned_by(M))


async def test_missed_objects_and_missed_deletions_are_repaired_and_wake_their_model(api: FakeApi) -> None:
    # The fake lists by path: a namespaced list shows what is in there.
    mirror, resync, woken = made(api, ["ns"])
    client = api.client()
    for name in ("kept", "lost"):
        mirror.watched(POD, await client.apply(POD, pod(name)), gone=False)
    lost = api.objects.pop("/api/v1/namespaces/ns/pods/lost")
    await client.apply(POD, pod("missed"))
    woken.clear()
    assert await resync.once(expect=True) == {M}
    assert names(mirror) == ["kept", "missed"]
    assert woken
    assert await resync.once(expect=True) == set(), "nothing is left to repair"
    mirror.watched(POD, lost, gone=False)
    assert names(mirror) == ["kept", "missed"], "an old event brings back nothing"


async def test_what_the_watch_had_not_brought_is_owed_and_a_missed_deletion_is_not(api: FakeApi) -> None:
    mirror, resync, _ = made(api, ["ns"])
    mirror.watched(POD, await api.client().apply(POD, pod("lost")), gone=False)
    api.objects.clear()
    api.version += 1
    await resync.once(expect=True)
    assert mirror.echoes.silence() == 0
    await api.client().apply(POD, pod("missed"))
    await resync.once(expect=True)
    assert mirror.echoes.silence() > 0


async def test_a_list_that_expires_is_begun_anew(api: FakeApi) -> None:
    answers = [status(410), status(410)]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        return answers.pop() if answers and request.path.endswith("/pods") else None

    api.faults.append(fault)
    await api.client().apply(POD, pod("p"))
    mirror, resync, _ = made(api, ["ns"])
    await resync.once(expect=False)
    assert names(mirror) == ["p"]
    answers.extend(status(410) for _ in range(3))
    with pytest.raises(Expired):
        await resync.once(expect=False)


async def test_only_the_named_namespaces_are_listed(api: FakeApi) -> None:
    await api.client().apply(POD, pod("here"))
    await api.client().apply(POD, pod("there", "other"))
    mirror, resync, _ = made(api, ["ns"])
    await resync.once(expect=False)
    assert len(mirror.pods) == 1
    assert all("/namespaces/ns/" in path for method, path in api.requests if method == "GET")
