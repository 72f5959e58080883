"""One writer: a Lease that is held, renewed, lost and given back."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from topgraft.cluster.cache import Object
from topgraft.cluster.client import Client
from topgraft.cluster.clock import elapsed
from topgraft.cluster.errors import ClusterError, Conflict, Gone
from topgraft.cluster.kinds import LEASE

log = logging.getLogger(__name__)

DURATION = 15
"""Seconds without a renewal after which another process may take the Lease."""
DEADLINE = 10.0
"""Seconds after its last renewal in which the holder may write. The rest of DURATION is the margin for a write that
was checked and is still on its way."""
RENEW_EVERY = 2.0
POLL_EVERY = 1.0
WARN_EVERY = 30.0
"""Seconds between two warnings that the Lease cannot be had: whoever looks later must find one, too."""
REQUEST_TIMEOUT = 5.0
"""Below DEADLINE, so that one hanging renewal is not the last."""


class LeaseLost(Exception):
    """Another process holds the Lease, or somebody deleted it."""


class Elector:
    """Holds the Lease `name` for this process.

    Times are measured on the process's own clock only: a standby takes over when the record stood unchanged for its
    duration, as seen by that standby. The clocks of two machines are never compared. Every write is guarded by the
    resourceVersion, so a renewal that succeeds proves that nobody else held the Lease in between, however late it is.
    """

    def __init__(self, client: Client, namespace: str, name: str, process: str, pod: str | None = None) -> None:
        """`process` names the host for the reader; `pod` is this Pod's name where the process runs in one."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._pod = pod
        self.identity = f"{pod or process}_{uuid4().hex[:12]}"
        self._lease: Object = {}
        self._renewed_at: float | None = None
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self.standing_by = False
        """Another live process was seen to hold the Lease."""

    def valid(self) -> bool:
        """Whether this process may write right now."""
        return self._renewed_at is not None and elapsed() - self._renewed_at < DEADLINE

    async def acquire(self) -> None:
        """Return once the Lease is held."""
        warned_at = -WARN_EVERY
        while True:
            try:
                if await self._try():
                    log.info("leading", extra={"lease": f"{self._namespace}/{self._name}", "identity": self.identity})
                    self.standing_by = False
                    return
            except ClusterError as error:
                due = elapsed() - warned_at >= WARN_EVERY
                level = logging.WARNING if due else logging.DEBUG
                log.log(level, "cannot read or write the Lease %s/%s: %s", self._namespace, self._name, error)
                warned_at = elapsed() if due else warned_at
            await asyncio.sleep(POLL_EVERY * random.uniform(0.8, 1.0))  # noqa: S311 - jitter, not a secret

    async def hold(self) -> None:
        """Renew for ever. Raises `LeaseLost`.

        An unreachable API server loses nothing: `valid` turns false, nobody else can take the Lease either, and the
        renewal goes on until it succeeds or meets another holder.
        """
        while True:
            await asyncio.sleep(RENEW_EVERY)
            was_valid = self.valid()
            try:
                await self._renew()
            except Conflict:
                await self._after_conflict()
            except Gone:
                raise LeaseLost("the Lease was deleted") from None
            except ClusterError as error:
                log.warning("cannot renew the Lease: %s", error)
            if was_valid != self.valid():
                log.warning("writing is %s", "paused: the Lease is not renewed" if was_valid else "on again")

    async def release(self) -> None:
        """Give the Lease back, so that a standby need not wait for it to expire."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            await self._give_back()
        except Conflict:
            # The end cut a renewal short that the server had stored already: ours is the record before it.
            with suppress(ClusterError):
                await self._give_back_after_conflict()
        except ClusterError as error:
            log.warning("the Lease could not be given back and will expire: %s", error)

    async def _give_back(self) -> None:
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        await self._client.replace(LEASE, {**self._lease, "spec": spec})

    async def _give_back_after_conflict(self) -> None:
        lease = await self._client.get(LEASE, self._namespace, self._name)
        if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
            self._lease = lease
            await self._give_back()

    async def _try(self) -> bool:
        asked = elapsed()
        try:
            lease = await self._client.get(LEASE, self._namespace, self._name)
        except Gone:
            return await self._create(asked)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        record = (holder, lease["metadata"]["resourceVersion"])
        if record != self._seen:
            self._seen, self._seen_at = record, elapsed()
        expired = elapsed() - self._seen_at > float(spec.get("leaseDurationSeconds") or DURATION)
        if holder and not expired and not self._was_here(holder):
            self.standing_by = True
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        return await self._take({**lease, "spec": self._spec(transitions, acquired=_now())}, elapsed())

    def _was_here(self, holder: str) -> bool:
        """The holder was an earlier container of this very Pod. The kubelet never runs two of them, so it is dead."""
        return self._pod is not None and holder.rpartition("_")[0] == self._pod

    async def _create(self, asked: float) -> bool:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
            "spec": self._spec(0, acquired=_now()),
        }
        try:
            self._lease = await self._client.create(LEASE, body)
        except Conflict:
            return False
        self._renewed_at = asked
        return True

    async def _take(self, lease: Object, asked: float) -> bool:
        try:
            self._lease = await self._client.replace(LEASE, lease)
        except Conflict:
            return False
        self._renewed_at = asked
        return True

    async def _renew(self) -> None:
        # The time before the request: the server may have stored it any moment since.
        asked = elapsed()
        spec = self._lease["spec"]
        renewed = self._spec(int(spec.get("leaseTransitions") or 0), acquired=spec["acquireTime"])
        self._lease = await self._client.replace(LEASE, {**self._lease, "spec": renewed})
        self._renewed_at = asked

    async def _after_conflict(self) -> None:
        """Lost, unless only the answer to one of our own renewals was."""
        try:
            lease = await self._client.get(LEASE, self._namespace, self._name)
        except Gone:
            raise LeaseLost("the Lease was deleted") from None
        except ClusterError as error:
            log.warning("cannot read the Lease: %s", error)
            return
        holder = (lease.get("spec") or {}).get("holderIdentity") or "nobody"
        if holder != self.identity:
            self._renewed_at = None
            raise LeaseLost(f"the Lease is held by {holder}")
        self._lease = lease

    def _spec(self, transitions: int, acquired: str) -> Object:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION,
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _now() -> str:
    """For people who read the Lease; no decision compares it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
