"""Whose PEFT adapters use which name and which base Model, by namespace, so that no look goes through all versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.cluster.cache import Cache
from topgraft.cluster.queue import Key
from topgraft.governance.peft import Neighbours, bases_of, names_of

Seniority = tuple[str, str]


class AdapterNames:
    """Kept current by `refresh`. Models without PEFT adapters are not in it and cost nothing."""

    def __init__(self, models: Cache[Model]) -> None:
        self._models = models
        self._names: dict[Key, dict[str, Seniority]] = {}
        self._bases: dict[Key, frozenset[str]] = {}
        self._holders: dict[tuple[str, str], dict[Key, Seniority]] = {}
        self._users: dict[Key, set[Key]] = {}

    def refresh(self, key: Key, versions: Iterable[ModelVersion]) -> set[Key]:
        """Take in what a Model's versions have now. Returns the other Models that have, or had, a name in common."""
        versions = tuple(version for version in versions if version.spec.artifact.adapters)
        names = _seniority(versions)
        bases = frozenset(bases_of(versions))
        before, known = self._names.get(key, {}), self._bases.get(key, frozenset())
        if names == before and bases == known:
            return set()
        namespace = key[0]
        others: set[Key] = set()
        for name in before.keys() | names.keys():
            holders = self._holders.setdefault((namespace, name), {})
            holders.pop(key, None)
            if name in names:
                holders[key] = names[name]
            if before.get(name) != names.get(name):
                others |= holders.keys()
            if not holders:
                del self._holders[namespace, name]
        for base in known - bases:
            users = self._users[namespace, base]
            users.discard(key)
            if not users:
                del self._users[namespace, base]
        for base in bases - known:
            self._users.setdefault((namespace, base), set()).add(key)
        self._names[key], self._bases[key] = names, bases
        if not names and not bases:
            del self._names[key], self._bases[key]
        return others - {key}

    def users_of(self, base: Key) -> set[Key]:
        """The Models with an adapter for this base Model."""
        return set(self._users.get(base, ()))

    def neighbours(self, key: Key) -> Neighbours:
        """What the rules need to know of the namespace for this Model."""
        if key not in self._names and key not in self._bases:
            return Neighbours()
        namespace = key[0]
        bases = ((name, self._models.owned_by((namespace, name))) for name in self._bases.get(key, ()))
        models = {name: found[0] for name, found in bases if found}
        return Neighbours(models, {name: self._holder(namespace, name) for name in self._names.get(key, ())})

    def _holder(self, namespace: str, name: str) -> str:
        holders: Mapping[Key, Seniority] = self._holders[namespace, name]
        return min(holders, key=lambda key: (holders[key], key))[1]


def _seniority(versions: Iterable[ModelVersion]) -> dict[str, Seniority]:
    """Name → the creation of the oldest version that has it."""
    found: dict[str, Seniority] = {}
    for version in versions:
        mine = version.metadata.creation_timestamp.isoformat(), version.metadata.name
        for name in names_of((version,)):
            found[name] = min(found.get(name, mine), mine)
    return found
