"""How many rollouts run at once, and who is next."""

from __future__ import annotations

from datetime import datetime

from topgraft.api.model import Model
from topgraft.cluster.cache import Cache
from topgraft.cluster.queue import Key

QUEUED = "Queued"


class Slots:
    """At most `limit` Models with a rollout in progress; the longest waiting goes first.

    Everything is read from the Models' own status, so a restart forgets neither who runs nor who waited. Only between
    a decision to start and the status that tells it a Model is held in memory.
    """

    def __init__(self, limit: int | None, models: Cache[Model]) -> None:
        self._limit = limit
        self._models = models
        self._starting: set[Key] = set()

    def may_start(self, key: Key) -> bool:
        if self._limit is None:
            return True
        running = self._running()
        if key in running or key in self._next(running):
            return True
        return not self._is_waiting(key) and self._free(running) > len(self._waiting())

    def starting(self, key: Key) -> None:
        """Take a slot for a rollout whose status is about to be written: no await between `may_start` and this."""
        if self._limit is not None:
            self._starting.add(key)

    def settled(self, key: Key) -> None:
        """The turn is over: from here on the Model's status tells whether a rollout runs."""
        self._starting.discard(key)

    def holds(self, key: Key) -> bool:
        """Whether this Model takes one of the slots."""
        return key in self._starting or any(_runs(model) for model in self._models.owned_by(key))

    def next(self) -> list[Key]:
        """The waiting Models that may start now."""
        return [] if self._limit is None else self._next(self._running())

    def _free(self, running: set[Key]) -> int:
        return (self._limit or 0) - len(running)

    def _running(self) -> set[Key]:
        return self._starting | {key for key, model in self._all() if _runs(model)}

    def _next(self, running: set[Key]) -> list[Key]:
        free = self._free(running)
        return [key for key in self._waiting() if key not in running][: max(0, free)]

    def _waiting(self) -> list[Key]:
        waiting = [(since, key) for key, model in self._all() if (since := _queued_since(model)) is not None]
        return [key for _, key in sorted(waiting)]

    def _is_waiting(self, key: Key) -> bool:
        return any(_queued_since(model) is not None for model in self._models.owned_by(key))

    def _all(self) -> list[tuple[Key, Model]]:
        return [(key, model) for key in self._models.owners() for model in self._models.owned_by(key)]


def _runs(model: Model) -> bool:
    """A rollout that waits for its next try, because the cluster could not do it, keeps nobody else waiting."""
    rollout = model.status.rollout
    return rollout is not None and rollout.retry_time is None


def _queued_since(model: Model) -> datetime | None:
    times = [c.last_transition_time for c in model.status.conditions if c.reason == QUEUED]
    return min(times, default=None)
