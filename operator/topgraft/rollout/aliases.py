"""Aliases of versions: what each names, when it moved, and which name nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from topgraft.rollout.conditions import Says, rfc3339
from topgraft.rollout.content import wire
from topgraft.rollout.instructions import Event

if TYPE_CHECKING:
    from topgraft.rollout.situation import Situation

HISTORY_LIMIT = 20


def moves(at: Situation) -> list[tuple[str, str | None, str | None]]:
    """(alias, from, to) of each alias that is not as the status tells, by name."""
    old, new = at.model.status.aliases, at.model.spec.aliases
    return [(a, old.get(a), new.get(a)) for a in sorted({*old, *new}) if old.get(a) != new.get(a)]


def alias_status(at: Situation) -> dict[str, Any]:
    """`status.aliases` and `status.aliasHistory`, the newest first. The history is told with the aliases themselves."""
    time = rfc3339(at.now.replace(microsecond=0))
    made = [
        {key: value for key, value in (("alias", a), ("from", f), ("to", t), ("time", time)) if value is not None}
        for a, f, t in moves(at)
    ]
    kept = [wire(move) for move in at.model.status.alias_history]
    return {"aliases": dict(at.model.spec.aliases) or None, "aliasHistory": [*made, *kept][:HISTORY_LIMIT] or None}


def alias_says(at: Situation) -> Iterator[Says]:
    gone = [f"{a}: {v}" for a, v in sorted(at.model.spec.aliases.items()) if v not in at.versions]
    if gone:
        text = f"spec.aliases names ModelVersions that this Model does not have ({', '.join(gone)}): create or rename"
        yield Says("InvalidAlias", "True", "AliasTargetMissing", text)


def alias_events(at: Situation, about: dict[str, str]) -> Iterator[Event]:
    """Read off the status as it was, so that each move is told once."""
    for alias, before, after in moves(at):
        yield Event(about, "Normal", "AliasMoved", f"alias {alias}: {before or 'nothing'} → {after or 'nothing'}")
