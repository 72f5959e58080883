"""How two interfaces of an adapter differ, and what of it breaks callers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from topgraft.api.modelversion import Api, ApiItem, Column

Item = ApiItem | Column


@dataclass(frozen=True)
class ApiChange:
    """One input, output or column: `old` and `new` describe it, "" where there is none."""

    name: str
    old: str
    new: str
    breaking: bool

    def __str__(self) -> str:
        if not self.new:
            return f"{self.name} was removed ({self.old})"
        return f"{self.name} was {self.old}, is {self.new}" if self.old else f"{self.name} is new ({self.new})"


def api_changes(old: Api, new: Api) -> tuple[ApiChange, ...]:
    """All changes, inputs first, by name. A renamed item is one that was removed and one that is new.

    Breaking for those who send the old inputs: an input removed, of another type, new and required, or required now.
    Breaking for those who read the old outputs: an output removed, of another type, or no longer always there.
    """
    return (*_side(old.inputs, new.inputs, "input", sent=True), *_side(old.outputs, new.outputs, "output", sent=False))


def breaking(changes: Iterable[ApiChange]) -> tuple[ApiChange, ...]:
    return tuple(change for change in changes if change.breaking)


def _side(old: Sequence[Item], new: Sequence[Item], kind: str, *, sent: bool) -> Iterator[ApiChange]:
    before, after = {item.name: item for item in old}, {item.name: item for item in new}
    for name in sorted(before.keys() | after.keys()):
        was, now, called = before.get(name), after.get(name), f"{kind} {name!r}"
        if was is None or now is None:
            there = now or was
            # What is gone breaks both; what is new only those who would have to send it.
            breaks = now is None or (sent and _required(now))
            yield ApiChange(called, _described(was), _described(now), breaks and there is not None)
            continue
        stricter = _required(now) and not _required(was) if sent else _required(was) and not _required(now)
        if _described(was) != _described(now):
            yield ApiChange(called, _described(was), _described(now), stricter or _form(was) != _form(now))
        if isinstance(was, ApiItem) and isinstance(now, ApiItem):
            yield from _side(was.columns, now.columns, f"{called} column", sent=sent)


def _required(item: Item) -> bool:
    return item.required is not False


def _form(item: Item) -> tuple[object, ...]:
    """What a value must look like, but for whether there must be one."""
    return (item.type, item.data_type, item.shape) if isinstance(item, ApiItem) else (item.data_type,)


def _described(item: Item | None) -> str:
    if item is None:
        return ""
    kind = item.type if isinstance(item, ApiItem) else ""
    shape = str(list(item.shape)) if isinstance(item, ApiItem) and item.shape else ""
    needed = "required" if _required(item) else "optional"
    return " ".join(part for part in (kind, item.data_type, shape) if part) + f", {needed}"
