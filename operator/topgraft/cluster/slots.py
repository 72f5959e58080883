"""How many rollouts run at once, and who is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from topgraft.api.model import Model, Rollout
from topgraft.cluster.cache import Cache
from topgraft.cluster.queue import Key
from topgraft.rollout.progress import HELD_STEP, QUEUED_STEP


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
        self._scanned = -1
        self._states: dict[Key, State] = {}
        self._in_progress: frozenset[Key] = frozenset()
        self._queued: tuple[Key, ...] = ()

    def may_start(self, key: Key) -> bool:
        if self._unlimited or self.holds(key):
            return True
        self._scan()
        return key in self._allot(self._queued if key in self._queued else (*self._queued, key))

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
        if self._unlimited:
            return []
        self._scan()
        return self._allot(self._queued)

    @property
    def _unlimited(self) -> bool:
        return self._limit is None and self._per_namespace is None

    def _allot(self, waiting: Iterable[Key]) -> list[Key]:
        """Those who get what is free, in order. One whose namespace is full holds up nobody of another."""
        running = self._starting | self._in_progress
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

    def _scan(self) -> None:
        """Bring the lists up to date. Every turn of every Model asks: only what changed since is read anew."""
        if self._scanned == self._models.changes:
            return
        self._scanned = self._models.changes
        states: dict[Key, State] = {}
        for key in self._models.owners():
            models, known = self._models.owned_by(key), self._states.get(key)
            # Tuples of the same objects are equal without a look into them.
            states[key] = known if known is not None and known.models == models else _state(models)
        self._states = states
        self._in_progress = frozenset(key for key, state in states.items() if state.runs)
        waiting = [(state.queued_since, key) for key, state in states.items() if state.queued_since is not None]
        self._queued = tuple(key for _, key in sorted(waiting))


class State(NamedTuple):
    """What counts of the Models of one name."""

    models: tuple[Model, ...]
    runs: bool
    queued_since: datetime | None


def _state(models: tuple[Model, ...]) -> State:
    since = (time for model in models if (time := _queued_since(model)) is not None)
    return State(models, any(_runs(model) for model in models), min(since, default=None))


def _runs(model: Model) -> bool:
    return model.status.rollout is not None and runs(model.status.rollout)


def runs(rollout: Rollout) -> bool:
    """Whether it takes a slot. One that waits for its next try, because the cluster could not do it, or for a person
    keeps nobody else waiting; the next try asks for a slot again, an approved one goes on at once."""
    return rollout.retry_time is None and rollout.step != HELD_STEP


def _queued_since(model: Model) -> datetime | None:
    """By the queue's own condition: elsewhere an adapter may have chosen that word for a failure's reason.

    A retry that waits goes on telling why it is one; it has waited since it was due.
    """
    rollout = model.status.rollout
    if rollout is not None and rollout.step == QUEUED_STEP:
        return rollout.retry_time
    times = (c.last_transition_time for c in model.status.conditions if (c.type, c.reason) == ("Reconciling", "Queued"))
    return next(times, None)
