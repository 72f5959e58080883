"""What the API server refused, and when it is asked again."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from topgraft.cluster.clock import elapsed
from topgraft.cluster.queue import Key

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Refusal:
    text: str
    tries: int
    due: float


class Refusals:
    """Refused writes by Model and "Kind/name". In memory only: after a restart the first try tells again."""

    def __init__(self) -> None:
        self._by_key: defaultdict[Key, dict[str, Refusal]] = defaultdict(dict)

    def texts(self, key: Key) -> Mapping[str, str]:
        return {target: refusal.text for target, refusal in self._by_key.get(key, {}).items()}

    def add(self, key: Key, target: str, text: str) -> bool:
        """Remember; the wait to the next try doubles with each refusal in a row. Returns whether this one is news."""
        before = self._by_key[key].get(target)
        tries = before.tries + 1 if before else 0
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 16))
        due = elapsed() + wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self._by_key[key][target] = Refusal(text, tries, due)
        return before is None or before.text != text

    def drop(self, key: Key, target: str) -> None:
        if key in self._by_key:
            self._by_key[key].pop(target, None)
            if not self._by_key[key]:
                del self._by_key[key]

    def forget(self, key: Key) -> None:
        self._by_key.pop(key, None)

    def due(self, key: Key) -> list[str]:
        """What to try again now."""
        now = elapsed()
        return [target for target, refusal in self._by_key.get(key, {}).items() if refusal.due <= now]

    def next_due(self, key: Key) -> float | None:
        """Seconds until something is due; None when nothing is refused."""
        times = [refusal.due for refusal in self._by_key.get(key, {}).values()]
        return max(0.0, min(times) - elapsed()) if times else None
