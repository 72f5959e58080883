"""The model behind the server: loading, readiness, and predictions in worker threads."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from topgraft_adapter.adapter import ModelAdapter
from topgraft_adapter.contract import Contract
from topgraft_adapter.errors import FatalError, describe
from topgraft_adapter.inference import Answer, infer
from topgraft_adapter.logs import log
from topgraft_adapter.settings import Settings
from topgraft_adapter.state import ModelStateReader

_THREADS = 32


class ModelService:
    """One model version. Its methods are called on the event loop, but for `load`."""

    def __init__(self, contract: Contract, settings: Settings) -> None:
        self.contract = contract
        self.settings = settings
        self.draining = False
        self.asked_at = 0.0
        """Monotonic time of the last infer request."""
        self._running: set[Future[Answer]] = set()
        self._adapter: ModelAdapter | None = None
        self._ready = True
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")

    def load(self) -> None:
        """Load the artifacts. Raises FatalError: LoadFailed."""
        started = monotonic()
        try:
            adapter = self.contract.adapter.load(ModelStateReader(self.settings.artifact_dir))
        except BaseException as error:  # load() that calls sys.exit() has failed as well
            log(logging.ERROR, "load() failed", error, text=describe(error))
            raise FatalError("LoadFailed", describe(error), exit_code=3) from error
        if not isinstance(adapter, ModelAdapter):
            kind = type(adapter).__name__
            raise FatalError("LoadFailed", f"load() returned a {kind}, not a ModelAdapter.", exit_code=3)
        self._adapter = adapter
        log(logging.INFO, "loaded", seconds=round(monotonic() - started, 3))

    def able(self) -> bool:
        """Whether a request can be answered now: loaded, and the adapter says that it is ready."""
        if self._adapter is None:
            return False
        try:
            ready = bool(self._adapter.ready())
        except Exception as error:
            if self._ready:
                log(logging.ERROR, "ready() raised", error)
            ready = False
        if ready != self._ready:
            log(logging.INFO if ready else logging.WARNING, "the adapter changed its readiness", ready=ready)
        self._ready = ready
        return ready

    async def infer(self, body: bytes) -> Answer:
        """Answer one request in a worker thread, so that health answers stay quick."""
        assert self._adapter is not None, "callers ask able() first"
        job = self._threads.submit(
            infer, self._adapter, self.contract.api, self.settings.model, self.settings.version, body
        )
        self._running.add(job)
        job.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(job)

    @property
    def running(self) -> int:
        """How many calls of predict() have not returned, those whose request was given up included."""
        return len(self._running)
