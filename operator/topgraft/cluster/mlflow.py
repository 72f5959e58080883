"""Keeps an MLflow registry as the core wants it, one Model after the other, beside all else and never in its way."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn, Protocol

from topgraft.cluster import metrics
from topgraft.cluster.clock import elapsed
from topgraft.cluster.queue import Key
from topgraft.governance.mlflow import Mirrored, Outcome, Registration

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0


class MlflowError(Exception):
    """The registry does not show what it should. `everybody`: it serves nobody now, so nobody asks until a pause is
    over; else it is this Model that it refuses."""

    def __init__(self, reason: str, message: str, *, everybody: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.everybody = everybody


class Sync(Protocol):
    """Makes the registry show a registration; returns record name → number. Blocks; raises MlflowError."""

    def __call__(self, wanted: Registration, /) -> dict[str, str]: ...


class MlflowMirror:
    """One thread asks. What a look wants replaces what an earlier one of the same Model wanted."""

    def __init__(self, wake: Callable[[Key], None], *, configured: bool) -> None:
        """`configured`: the operator was started with a registry; then `sync` is set before `run`."""
        self.sync: Sync | None = None
        self._configured = configured
        self._wake = wake
        self._wanted: OrderedDict[Key, Registration] = OrderedDict()
        self._outcomes: dict[Key, Outcome] = {}
        self._failures: dict[Key | None, int] = {}
        self._not_before: dict[Key | None, float] = {}
        self._news = asyncio.Event()

    def register(self, key: Key, wanted: Registration | None) -> None:
        """What the core asks for, anew after each look; None: all is told."""
        if wanted is None:
            for kept in (self._wanted, self._outcomes, self._failures, self._not_before):
                kept.pop(key, None)
            return
        outcome = self._outcomes.get(key)
        if outcome is not None and outcome.error is None and outcome.digest == wanted.digest:
            return
        if self._wanted.get(key) != wanted:
            self._wanted[key] = wanted
            self._news.set()

    def mirrored(self, key: Key) -> Mirrored:
        """What a look sees."""
        return Mirrored(self._configured, self._outcomes.get(key))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._news.clear()
            key, wait = self._next()
            if key is not None:
                await self._attend(key)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _next(self) -> tuple[Key | None, float | None]:
        """(the Model to attend to now, or how long to wait for one): the one that waits the longest comes first."""
        now, everybody = elapsed(), self._not_before.get(None, 0.0)
        times = {key: max(everybody, self._not_before.get(key, 0.0)) for key in self._wanted}
        due = next((key for key, time in times.items() if time <= now), None)
        return due, None if not times else max(0.0, min(times.values()) - now)

    async def _attend(self, key: Key) -> None:
        wanted = self._wanted[key]
        try:
            versions = await self._in_thread(wanted)
        except MlflowError as error:
            self._fail(key, wanted, error)
        except Exception as error:
            # A library of others, over the network: whatever it raises is told and tried again, and ends nothing.
            log.warning("mirroring failed: %s", error, extra={"namespace": key[0], "model": key[1]}, exc_info=True)
            self._fail(key, wanted, MlflowError("MlflowRefused", f"{type(error).__name__}: see the operator's log"))
        else:
            metrics.MIRRORINGS.labels("ok").inc()
            self._failures.pop(None, None)
            self._failures.pop(key, None)
            if self._wanted.get(key) == wanted:
                del self._wanted[key]
            self._tell(key, Outcome(wanted.digest, versions))

    def _fail(self, key: Key, wanted: Registration, error: MlflowError) -> None:
        metrics.MIRRORINGS.labels("error").inc()
        scope = None if error.everybody else key
        failures = self._failures[scope] = self._failures.get(scope, 0) + 1
        self._not_before[scope] = elapsed() + min(PAUSE_SECONDS * 2 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS)
        if key in self._wanted:
            self._wanted.move_to_end(key)
        waiting = list(self._wanted) if error.everybody else [key]
        for one in waiting:
            digest = self._wanted[one].digest if one in self._wanted else wanted.digest
            self._tell(one, Outcome(digest, error=(error.reason, str(error)[:600])))

    def _tell(self, key: Key, outcome: Outcome) -> None:
        if self._outcomes.get(key) != outcome:
            self._outcomes[key] = outcome
            self._wake(key)

    async def _in_thread(self, wanted: Registration) -> dict[str, str]:
        """A thread of its own: one that hangs must not keep the process from ending, as those of a pool would."""
        loop, sync = asyncio.get_running_loop(), self.sync
        assert sync is not None
        done: asyncio.Future[dict[str, str]] = loop.create_future()

        def finish(result: dict[str, str] | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result or {})

        def work() -> None:
            result, failure = None, None
            try:
                result = sync(wanted)
            except Exception as error:
                failure = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result, failure)

        threading.Thread(target=work, name="mlflow", daemon=True).start()
        return await done


def unavailable() -> NoReturn:
    """The registry serves nobody. Its words have addresses and ports in them, which a condition must not."""
    text = "the MLflow server cannot be reached, or fails: rollouts go on, it is tried again"
    raise MlflowError("MlflowUnreachable", text, everybody=True)
