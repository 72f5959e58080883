"""How many rollouts run at once, and who is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from topgraft.api.model import Model
from topgraft.cluster.cache import Cache
from topgraft.cluster.queue import Key


class Slots:
    """At most `limit` Models with a rollout in progress, `per_namespace` in each; the longest waiting goes first.

    Everything is read from the Models' own status, so a restart forgets neither who runs nor who waited. Only between
    a decision to start and the status that tells it a Model is held in memory.
    """

    def __init__(self, limit: int | None, per_namespace: int | None, models: Cache[Model]) -> None:
        """None: no limit."""
        self._limit = limit
        self._per_namespace = per_namespace
        self._models = models
        self._starting: set[Key] = set()

    def may_start(self, key: Key) -> bool:
        if self._unlimited or self.holds(key):
            return True
        waiting = self._waiting()
        return key in self._allot(waiting if key in waiting else [*waiting, key])

    def starting(self, key: Key) -> None:
        """Take a slot for a rollout whose status is about to be written: no await between `may_start` and this."""
        if not self._unlimited:
            self._starting.add(key)

    def settled(self, key: Key) -> None:
        """The turn is over: from here on the Model's status tells whether a rollout runs."""
        self._starting.discard(key)

    def holds(self, key: Key) -> bool:
        """Whether this Model takes one of the slots."""
        return key in self._starting or any(_runs(model) for model in self._models.owned_by(key))

    def next(self) -> list[Key]:
        """The waiting Models that may start now."""
        return [] if self._unlimited else self._allot(self._waiting())

    @property
    def _unlimited(self) -> bool:
        return self._limit is None and self._per_namespace is None

    def _running(self) -> set[Key]:
        return self._starting | {key for key, model in self._all() if _runs(model)}

    def _allot(self, waiting: Iterable[Key]) -> list[Key]:
        """Those who get what is free, in order. One whose namespace is full holds up nobody of another."""
        running = self._running()
        taken = Counter(namespace for namespace, _ in running)
        chosen: list[Key] = []
        for key in waiting:
            if self._limit is not None and len(running) + len(chosen) >= self._limit:
                break
            full = self._per_namespace is not None and taken[key[0]] >= self._per_namespace
            if key not in running and not full:
                chosen.append(key)
                taken[key[0]] += 1
        return chosen

    def _waiting(self) -> list[Key]:
        waiting = [(since, key) for key, model in self._all() if (since := _queued_since(model)) is not None]
        return [key for _, key in sorted(waiting)]

    def _all(self) -> list[tuple[Key, Model]]:
        return [(key, model) for key in self._models.owners() for model in self._models.owned_by(key)]


def _runs(model: Model) -> bool:
    """A rollout that waits for its next try, because the cluster could not do it, keeps nobody else waiting."""
    rollout = model.status.rollout
    return rollout is not None and rollout.retry_time is None


def _queued_since(model: Model) -> datetime | None:
    """By the queue's own condition: elsewhere an adapter may have chosen that word for a failure's reason."""
    times = (c.last_transition_time for c in model.status.conditions if (c.type, c.reason) == ("Reconciling", "Queued"))
    return next(times, None)
