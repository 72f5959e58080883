"""The newest seen objects, slimmed to views, grouped by the Model they belong to."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from topgraft.cluster.queue import Key

log = logging.getLogger(__name__)

Object = dict[str, Any]
View = TypeVar("View")

REMEMBERED_DELETIONS = 4096


class Entry(NamedTuple, Generic[View]):
    version: int
    view: View


def version_of(obj: Object) -> int:
    """resourceVersions of one kind are ordered integers: in practice always, by contract since Kubernetes 1.35."""
    return int(obj["metadata"]["resourceVersion"])


class Cache(Generic[View]):
    """The objects of one kind. An older state never replaces a newer one, nor brings back what is gone."""

    def __init__(self, parse: Callable[[Object], View], owner_of: Callable[[Object], Key | None]) -> None:
        self._parse = parse
        self._owner_of = owner_of
        self._owned: dict[Key, dict[str, Entry[View]]] = {}
        self._owner_by_uid: dict[str, Key] = {}
        self.changes = 0
        """Counts up with every change of what is kept."""
        # uid → version at which it went. The response to a write can arrive after the news of the deletion; an object
        # whose label was taken away and given back comes with a later version.
        self._gone: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owner_by_uid)

    def owned_by(self, owner: Key) -> tuple[View, ...]:
        return tuple(entry.view for entry in self._owned.get(owner, {}).values())

    def owners(self) -> Iterator[Key]:
        return iter(self._owned)

    def version(self, uid: str) -> int | None:
        owner = self._owner_by_uid.get(uid)
        return self._owned[owner][uid].version if owner else None

    def observe(self, obj: Object) -> set[Key]:
        """Take in a state of an object. Returns the owners that have something new to look at."""
        uid, version = obj["metadata"]["uid"], version_of(obj)
        known = self.version(uid)
        if version <= (self._gone.get(uid, -1) if known is None else known):
            return set()
        try:
            view = self._parse(obj)
        except (ValueError, RecursionError) as error:
            meta = obj["metadata"]
            log.error(
                "cannot read an object: %s",
                error,
                extra={"object": meta.get("name"), "namespace": meta.get("namespace")},
            )
            return set()
        owner = self._owner_of(obj)
        before = self._owner_by_uid.get(uid)
        touched = {key for key in (before, owner) if key}
        if before is not None and before != owner:
            self._drop(uid)
        if owner is not None:
            self.changes += 1
            self._owned.setdefault(owner, {})[uid] = Entry(version, view)
            self._owner_by_uid[uid] = owner
        return touched

    def forget(self, uid: str, version: int) -> set[Key]:
        """The object is gone, or out of the watch's sight. Returns the owner that has something new to look at."""
        self._gone[uid] = version
        if len(self._gone) > REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)
        owner = self._drop(uid)
        return {owner} if owner else set()

    def sweep(self, listed: set[str], list_version: int, namespace: str | None = None) -> set[Key]:
        """Drop what a full list at `list_version` no longer has: deletions missed between two watches.

        Returns the owners that have something new to look at.
        """
        ghosts = [
            uid
            for uid, owner in self._owner_by_uid.items()
            if uid not in listed and namespace in (None, owner[0]) and self._owned[owner][uid].version <= list_version
        ]
        return set().union(*(self.forget(uid, list_version) for uid in ghosts))

    def _drop(self, uid: str) -> Key | None:
        owner = self._owner_by_uid.pop(uid, None)
        if owner is not None:
            self.changes += 1
            entries = self._owned[owner]
            del entries[uid]
            if not entries:
                del self._owned[owner]
        return owner
