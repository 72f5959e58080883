"""kopf's watches: they only tell the caches what they saw."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import aiohttp
import kopf
from kubernetes.aio.client import ApiClient

from topgraft.cluster.cache import Object
from topgraft.cluster.caches import Caches
from topgraft.cluster.kinds import SMALL_PAGE, WATCHED, Kind
from topgraft.cluster.nesting import cut, lines, loads

log = logging.getLogger(__name__)


class Backoffs:
    """Delays between tries without an end: a watch that gives up would take the whole process with it."""

    def __iter__(self) -> Iterator[float]:
        longest = 1.0
        while True:
            yield longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
            longest = min(longest * 2, 5.0)


class NoDiffBase(kopf.DiffBaseStorage):
    """No handler compares an object with its last handled state; the copy that kopf makes for it costs a third of
    the time of each event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        pass


class Lines:
    """The body of a watch, with every line as it can be parsed: one that kopf cannot parse ends the process."""

    SAFE = 800
    """Brackets in a line that is surely not nested too deep for Python's parser."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        # aiohttp tells a closed response's reader of the end by its content.
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines, each with its end."""
        async for line in lines(self._content.iter_chunked(size)):
            deep = line.count(b"{") + line.count(b"[") > self.SAFE
            yield (cut(line) if deep else line) + b"\n"


class Response(aiohttp.ClientResponse):
    """An answer to kopf whose objects may be nested as deep as the API server lets them be."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        if "watch" in self.url.query:
            self.content = cast(aiohttp.StreamReader, Lines(self.content))
        return self

    async def json(self, **_: Any) -> Any:
        return loads(await self.read())


def settings() -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    # An object named "default" of kopf's own kind would else pause the operator without a word.
    chosen.peering.standalone = True
    # Neither namespaces nor CRDs need to be listed; missing CRDs are noticed before kopf starts.
    chosen.scanning.disabled = True
    # One setting for all kinds, so the one for the largest objects.
    chosen.watching.chunk_size = SMALL_PAGE
    # Each object's last event stays in memory for this time: with the default of 5 s that is all objects at the start.
    chosen.queueing.idle_timeout = 0.1
    chosen.watching.inactivity_timeout = 70
    for kind in WATCHED:
        if kind.selector:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.networking.error_backoffs = Backoffs()
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.process.ultimate_exiting_timeout = 20
    return chosen


def registry(caches: Caches, api: ApiClient) -> kopf.OperatorRegistry:
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        """The watches log in as the writes do: kopf asks again when the API server no longer takes the token."""
        configuration = api.configuration
        # Refreshes a token of limited life as a side effect.
        token = await configuration.get_api_key_with_prefix("BearerToken") or ""
        info = kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            username=configuration.username or None,
            password=configuration.password or None,
            scheme=token.rpartition(" ")[0] or None,
            token=token.rpartition(" ")[2] or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            response_class=Response,
            trust_env=True,
        )
        return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

    for kind in WATCHED:
        _register(kind, caches, handlers)
    return handlers


def _register(kind: Kind, caches: Caches, handlers: kopf.OperatorRegistry) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=f"observe-{kind.plural}", registry=handlers)
    async def observe(event: kopf.RawEvent, **_: Any) -> None:
        caches.watched(kind, cast(Object, event["object"]), gone=event["type"] == "DELETED")


async def run(caches: Caches, api: ApiClient, namespaces: Sequence[str], started: asyncio.Event) -> None:
    """Watch until cancelled; `started` is set when kopf has taken over the process's signals.

    Raises when a watch dies for good. kopf cancels every task that is created after it started: what must outlive it
    is created before.
    """
    await kopf.operator(
        registry=registry(caches, api),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        # Else kopf looks up the user's name, which a container under any user id but root's does not have.
        identity=cast(Any, "topgraft"),
        ready_flag=started,
    )
