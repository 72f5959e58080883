"""What the pure core asks the outside to do: object writes in order, events, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from topgraft.governance.mlflow import Registration
from topgraft.rollout.comparison import Watch

Body = dict[str, Any]


@dataclass(frozen=True)
class Apply:
    """Server-side apply of `body`, with force: the operator owns every field that it renders.

    `guard` is a resourceVersion: the API server answers a conflict when the object has changed since.
    `new` says that the caches know no such object: it is read live first, and one that is there but not owned by
    the owner in `body` is refused (`NotOwned`), never taken over.
    """

    body: Body
    guard: str | None = None
    new: bool = False


@dataclass(frozen=True)
class ApplyStatus:
    """Server-side apply of `body` to the `/status` subresource, guarded where `metadata.resourceVersion` is given."""

    body: Body


@dataclass(frozen=True)
class Switch:
    """Write the Service that carries the traffic.

    The Service is read live first. When its decision annotation is not `seen`, somebody decided since and the write
    is stale; else it goes out guarded by the live resourceVersion, so that one of two writers gets a conflict.
    A Service of that name that the owner in `body` does not own is refused (`NotOwned`).
    """

    body: Body
    seen: str | None


@dataclass(frozen=True)
class Delete:
    """Delete exactly the object with this uid; already gone counts as done."""

    kind: str
    namespace: str
    name: str
    uid: str


Write = Apply | ApplyStatus | Switch | Delete


@dataclass(frozen=True)
class Event:
    """One transition worth a line in `kubectl describe`; `regarding` is the reference of an object that exists."""

    regarding: dict[str, str]
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """The outcome of one look: `writes` in their order (a failed one ends the turn), `look_again` in seconds.

    `registration`: what MLflow is to show and does not yet, as far as the status tells; None: nothing.
    `watch`: whose live traffic is to be read from now on; None: nobody's.
    """

    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    look_again: float | None = None
    watch: Watch | None = None
    registration: Registration | None = None
