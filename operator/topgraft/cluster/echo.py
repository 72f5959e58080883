"""Is the watch alive? What is known to have changed must come back on it."""

from __future__ import annotations

from topgraft.cluster.clock import elapsed

PATIENCE = 60.0
"""Seconds that a change may take to arrive."""


class Echoes:
    """Changes that the watch owes: the operator's own writes, and what a resync saw before the watch did."""

    def __init__(self) -> None:
        self._owed: dict[str, tuple[int, float]] = {}

    def expect(self, uid: str, version: int) -> None:
        """The watch must deliver the object at `version` or later, or its deletion."""
        _, since = self._owed.get(uid, (0, elapsed()))
        self._owed[uid] = (version, since)

    def heard(self, uid: str, version: int) -> None:
        if (owed := self._owed.get(uid)) is not None:
            if version >= owed[0]:
                del self._owed[uid]
            else:
                # It is behind, but it moves: the patience starts anew.
                self._owed[uid] = (owed[0], elapsed())

    def gone(self, uid: str) -> None:
        self._owed.pop(uid, None)

    def oldest(self) -> float:
        """Seconds for which the watch has owed the oldest change; 0 when it owes none."""
        if not self._owed:
            return 0.0
        return elapsed() - min(since for _, since in self._owed.values())

    def silent(self) -> bool:
        return self.oldest() > PATIENCE
