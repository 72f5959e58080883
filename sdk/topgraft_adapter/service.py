"""The model behind the server: loading, readiness, limits, and predictions in worker threads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic

from topgraft_adapter.contract import Contract
from topgraft_adapter.errors import FatalError, OverloadedError, UnavailableError
from topgraft_adapter.feedback import Feedback
from topgraft_adapter.inference import Answer, Target
from topgraft_adapter.loading import load
from topgraft_adapter.logs import log
from topgraft_adapter.metrics import Metrics
from topgraft_adapter.settings import Settings
from topgraft_adapter.workers import Workers

MAX_BODY_BYTES = 50 * 1024 * 1024

MAX_BUFFERED_BYTES = 4 * MAX_BODY_BYTES
"""What the bodies of all requests that are read, wait or run may hold together."""


class ModelService:
    """One model version. Its methods are called on the event loop, but for `load`."""

    def __init__(self, contract: Contract, settings: Settings) -> None:
        self.contract = contract
        self.settings = settings
        self.metrics = Metrics(settings.model, settings.version)
        self.feedback = Feedback(settings.version)
        self.draining = False
        self.asked_at = 0.0
        """Monotonic time of the last infer request."""
        self._admitted = 0
        self._buffered = 0
        self._target: Target | None = None
        self._ready = True
        self._workers = Workers(settings.threads, settings.request_timeout)

    def load(self) -> None:
        """Load the artifacts. Raises FatalError."""
        started = monotonic()
        try:
            adapter = load(self.contract, self.settings.artifact_dir)
        except FatalError as error:
            log(logging.ERROR, "load() failed", error.__cause__ or error, text=str(error))
            raise
        self._target = Target(adapter, self.contract.api, self.settings.model, self.settings.version)
        log(logging.INFO, "loaded", seconds=round(monotonic() - started, 3))

    def able(self) -> bool:
        """Whether a request can be answered now: loaded, the adapter says that it is ready, and a thread is left."""
        if self._target is None:
            return False
        try:
            ready = bool(self._target.adapter.ready())
        except Exception as error:
            if self._ready:
                log(logging.ERROR, "ready() raised", error)
            ready = False
        # Calls that were given up hold their threads until they return: with the last thread held nothing can answer.
        ready = ready and len(self._workers.given_up) < self.settings.threads
        if ready != self._ready:
            log(logging.INFO if ready else logging.WARNING, "the adapter changed its readiness", ready=ready)
        self._ready = ready
        return ready

    @contextmanager
    def admitted(self) -> Iterator[Callable[[int], None]]:
        """A place for one request. Raises OverloadedError, as does what it gives: a counter of the body's bytes."""
        if self._admitted >= self.settings.max_concurrency:
            raise OverloadedError(f"{self._admitted} requests are being answered; ask again in a moment.")
        self._admitted += 1
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._buffered + size > MAX_BUFFERED_BYTES:
                raise OverloadedError("The requests being answered fill the memory for bodies; ask again in a moment.")
            held += size
            self._buffered += size

        try:
            yield hold
        finally:
            self._admitted -= 1
            self._buffered -= held

    async def answer(self, work: Callable[[Target], Answer]) -> Answer:
        """Answer one request in a worker thread, so that health answers stay quick.

        Raises UnavailableError, InferenceTimeoutError, or what `work` raises.
        """
        if not self.able() or self._target is None:
            raise UnavailableError("The model is not ready.")
        answer = await self._workers.run(partial(work, self._target))
        self.metrics.answered(answer.labels)
        self.feedback.remember(answer.id, answer.labels)
        return answer

    @property
    def running(self) -> int:
        """How many calls of predict() have not returned, those whose request was given up included."""
        return len(self._workers.running)


def log_raised(error: Exception) -> None:
    """Note what an adapter raised: its type and place, never its text."""
    log(logging.ERROR, "predict() raised", error)
