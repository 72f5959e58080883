"""Is the watch alive? What is known to have changed must come back on it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable

from topgraft.cluster.clock import elapsed

PATIENCE = 60.0
"""Seconds that a change may take to arrive."""


class Echoes:
    """Changes that the watches owe: the operator's own writes, and what a resync saw before the watch did.

    A watch delivers in the order of resourceVersions, so what it brings settles all that is older. A watch that brings
    anything is alive, however far it lags behind on a busy machine.
    """

    def __init__(self) -> None:
        self._owed: defaultdict[Hashable, deque[tuple[int, float]]] = defaultdict(deque)
        self._heard_at: dict[Hashable, float] = {}

    def expect(self, watch: Hashable, version: int) -> None:
        """`watch` must deliver an object at `version` or later."""
        self._owed[watch].append((version, elapsed()))

    def heard(self, watch: Hashable, version: int) -> None:
        self._heard_at[watch] = elapsed()
        owed = self._owed[watch]
        while owed and owed[0][0] <= version:
            owed.popleft()

    def silence(self) -> float:
        """Seconds for which a watch that owes a change has brought nothing; 0 when none owes any."""
        now = elapsed()
        waits = [now - max(owed[0][1], self._heard_at.get(watch, 0.0)) for watch, owed in self._owed.items() if owed]
        return max(waits, default=0.0)

    def dead(self) -> bool:
        return self.silence() > PATIENCE
