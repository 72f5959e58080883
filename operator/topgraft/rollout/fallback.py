"""What serves in a failed target's place: the last version that was found good, started again if needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from topgraft.rollout.condemned import defective
from topgraft.rollout.target import GOOD

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation


def fallbacks(at: Situation) -> Iterator[str]:
    """Versions in the order in which they are to serve instead of the target; the record of each is judged elsewhere.

    The stable version comes first, and where that is the one that failed, the one before it.
    """
    past = (entry.version for entry in at.model.status.history if entry.outcome in GOOD)
    tried = {at.target.version}
    for name in (at.recorded_stable, at.previous, *past, at.target.base):
        if name is not None and name not in tried and not defective(at, name):
            tried.add(name)
            yield name
