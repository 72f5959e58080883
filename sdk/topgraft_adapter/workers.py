"""The threads in which predict() runs.

An executor would do, but the futures between its threads and an event loop cost as much as reading the request: they
serve callers in any thread. Here there is one, and each call wakes it once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from topgraft_adapter.deadlines import Deadlines
from topgraft_adapter.errors import InferenceTimeoutError
from topgraft_adapter.inference import Answer
from topgraft_adapter.logs import log


class Call:
    """One call, and the future of what it returns, which only the event loop touches."""

    __slots__ = ("begun", "function", "future", "loop", "wanted")

    def __init__(self, function: Callable[[], Answer]) -> None:
        self.function = function
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Answer] = self.loop.create_future()
        self.begun = False
        self.wanted = True
        """False once nobody waits for it: a call that has not begun by then is left out."""


class Workers:
    """Runs calls in at most so many threads, each for so many seconds. Its methods are called on the event loop."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._deadlines = Deadlines(seconds, self._give_up)
        self._threads = 0
        self._waiting: SimpleQueue[Call] = SimpleQueue()
        self.running: set[Call] = set()
        """The calls that have not returned."""
        self.given_up: set[Call] = set()
        """Those of them whose request was answered without them: they hold their threads."""

    async def run(self, function: Callable[[], Answer]) -> Answer:
        """Call the function in a thread. Raises InferenceTimeoutError when its time is over, or what it raises."""
        call = Call(function)
        self.running.add(call)
        if self._threads < min(len(self.running), self._most):
            self._threads += 1
            # A daemon: a call that hangs must not outlive the server.
            threading.Thread(target=_work, args=(self._waiting, self._end), name="predict", daemon=True).start()
        self._waiting.put(call)
        self._deadlines.begin(call)
        try:
            return await call.future
        finally:
            self._deadlines.done(call)
            call.wanted = False

    def _give_up(self, call: Call) -> None:
        if call.future.done():
            return
        call.wanted = False
        if call.begun:
            self.given_up.add(call)
            log(logging.ERROR, "predict() takes too long", given_up=len(self.given_up))
        message = f"predict() did not answer within {self._seconds:g} seconds."
        call.future.set_exception(InferenceTimeoutError(message))

    def _end(self, call: Call, answer: Answer | None, error: BaseException | None) -> None:
        self.running.discard(call)
        self.given_up.discard(call)
        if call.future.done():
            return
        if answer is not None:
            call.future.set_result(answer)
        elif error is not None:
            call.future.set_exception(error)


def _work(waiting: SimpleQueue[Call], end: Callable[[Call, Answer | None, BaseException | None], None]) -> None:
    while True:
        call = waiting.get()
        call.begun = True
        outcome = _outcome(call.function) if call.wanted else (None, None)
        try:
            call.loop.call_soon_threadsafe(end, call, *outcome)
        except RuntimeError:  # the loop is closed: the server has ended
            return
        # What they hold, such as the body of a request, must not wait for the next call.
        del call, outcome


def _outcome(function: Callable[[], Answer]) -> tuple[Answer | None, BaseException | None]:
    """What the function returns or raises. Without a call at hand: its future would hold itself by the traceback."""
    try:
        return function(), None
    except StopIteration as error:  # the one exception that no future takes
        return None, RuntimeError(f"StopIteration: {error}")
    except BaseException as error:  # a thread that ended would be missing
        return None, error
