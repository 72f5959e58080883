"""Who has an adapter's name, and who is woken when that changes."""

from __future__ import annotations

from typing import Any

import pytest
from topgraft.cluster.caches import Caches
from topgraft.cluster.kinds import MODEL, MODEL_VERSION
from topgraft.cluster.queue import Key

A, B, BASE = ("team", "a"), ("team", "b"), ("team", "llama")


class Stage:
    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.caches = Caches(self.woken.append)
        self._version = 0

    def model(self, key: Key, *, gone: bool = False) -> set[Key]:
        return self._see(MODEL, key, key[1], {"modelTypeId": "t"}, "2026-11-22T12:00:00Z", gone)

    def version(
        self, key: Key, name: str, minute: int, *adapters: str, base: str = "llama", gone: bool = False
    ) -> set[Key]:
        named = [{"type": "project", "name": n, "baseModelRef": {"name": base}, "location": n} for n in adapters]
        artifact = {"volumes": [{"name": "w", "mountPath": "/w", "configMap": {"name": "c"}}], "adapters": named}
        spec = {"modelRef": {"name": key[1]}, "artifact": artifact, "adapter": {"image": "r/a:1"}}
        return self._see(MODEL_VERSION, key, name, spec, f"2026-11-22T12:{minute:02}:00Z", gone)

    def _see(self, kind: Any, key: Key, name: str, spec: dict[str, Any], time: str, gone: bool) -> set[Key]:
        self._version += 1
        self.woken.clear()
        meta = {"name": name, "namespace": key[0], "uid": f"{key[0]}/{name}", "creationTimestamp": time}
        meta["resourceVersion"] = str(self._version)
        obj = {"apiVersion": "topgraft.dev/v1alpha1", "kind": kind.name, "metadata": meta, "spec": spec}
        self.caches.watched(kind, obj, gone=gone)
        return set(self.woken)

    def holder(self, key: Key, name: str) -> str:
        return self.caches.adapters.neighbours(key).holders[name]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_older_version_has_the_name_and_both_are_woken_by_a_change(stage: Stage) -> None:
    assert stage.version(B, "b-1", 5, "sql") == {B}
    assert stage.version(A, "a-1", 7, "sql") == {A, B}
    assert (stage.holder(A, "sql"), stage.holder(B, "sql")) == ("b", "b")
    assert stage.version(A, "a-0", 3, "sql", "chat") == {A, B}, "an older one of the same Model"
    assert (stage.holder(A, "sql"), stage.holder(A, "chat"), stage.holder(B, "sql")) == ("a", "a", "a")
    assert stage.version(A, "a-0", 3, "sql", "chat", gone=True) == {A, B}
    assert (stage.holder(A, "sql"), stage.holder(B, "sql")) == ("b", "b")
    assert stage.version(B, "b-1", 5, "sql", gone=True) == {A, B}
    assert stage.holder(A, "sql") == "a"


def test_versions_of_one_model_share_their_names_and_other_namespaces_have_their_own(stage: Stage) -> None:
    stage.version(A, "a-1", 1, "sql")
    assert stage.version(A, "a-2", 2, "sql") == {A}
    assert stage.version(("other", "b"), "b-1", 0, "sql") == {("other", "b")}
    assert stage.holder(A, "sql") == "a"


def test_a_base_model_wakes_the_models_whose_adapters_are_for_it(stage: Stage) -> None:
    stage.version(A, "a-1", 1, "sql")
    stage.version(A, "a-2", 2, "chat", base="mistral")
    assert stage.caches.adapters.neighbours(A).models == {}
    assert stage.model(BASE) == {BASE, A}
    assert set(stage.caches.adapters.neighbours(A).models) == {"llama"}
    assert stage.model(BASE, gone=True) == {BASE, A}
    assert stage.version(A, "a-1", 1, "sql", gone=True) == {A}
    assert stage.model(BASE) == {BASE}


def test_models_without_adapters_cost_nothing(stage: Stage) -> None:
    for index in range(20):
        stage.version(("team", f"m{index}"), f"m{index}-1", 1)
    assert vars(stage.caches.adapters)["_names"] == {}
    assert vars(stage.caches.adapters)["_bases"] == {}
    stage.version(A, "a-1", 1, "sql")
    stage.version(A, "a-1", 1, "sql", gone=True)
    for kept in ("_names", "_bases", "_holders", "_users"):
        assert vars(stage.caches.adapters)[kept] == {}
