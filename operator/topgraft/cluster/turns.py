"""How many requests to servers that are not trusted wait for an answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from topgraft.cluster.queue import Key


class Turns:
    """Bounds for one Model and one namespace under the one for all: silent servers of one tenant hold up no other's.

    Who waits for a turn has no request under way, so that the time of a request begins with its turn.
    """

    def __init__(self, *, model: int, namespace: int, total: int) -> None:
        self._model, self._namespace = model, namespace
        self._all = asyncio.Semaphore(total)
        # Whoever waits or runs keeps its semaphore alive; nothing is left of a Model that is gone.
        self._models: WeakValueDictionary[Key, asyncio.Semaphore] = WeakValueDictionary()
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, key: Key) -> AsyncIterator[None]:
        """Hold one turn of the Model's."""
        model = self._models.setdefault(key, asyncio.Semaphore(self._model))
        namespace = self._namespaces.setdefault(key[0], asyncio.Semaphore(self._namespace))
        # The one for all last: who waits in its own namespace keeps nobody else waiting.
        async with model, namespace, self._all:
            yield
