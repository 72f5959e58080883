"""Requests to adapters, of which nothing is believed: bounded, timed, never redirected, on kept-alive connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from time import perf_counter
from types import TracebackType
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

MAX_ANSWER_BYTES = 4 << 20
CONNECT_SECONDS = 5.0
_JSON = CIMultiDict({"Content-Type": "application/json"})
_NONE = CIMultiDict[str]()


class Answer(NamedTuple):
    """`status` 0 means that there was no answer, and `error` says why. `seconds` is None where a connection that the
    server had just closed was opened anew: the time would be that of two requests."""

    status: int
    body: bytes
    seconds: float | None
    error: str = ""

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300

    def fault(self) -> str:
        """Why it failed, in words that never hold what the adapter wrote."""
        return self.error or f"status {self.status}"


class Client:
    """A session with every adapter address. Use it as an asynchronous context manager."""

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        """Take the size in bytes that an answer may have."""
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed answer could be larger than any bound, and its time is not the model's.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(
        self, method: str, url: URL, body: bytes | None, seconds: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request that may take so many seconds; never raises for what the other side does."""
        sent = _JSON if body is not None else _NONE
        if headers:
            sent = sent.copy()
            sent.update(headers)  # the caller's own content type wins
        try:
            try:
                return await self._exchange(method, url, body, sent, _at_most(seconds))
            except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError):
                # A kept-alive connection may be closed by the server in the moment of its use.
                again = await self._exchange(method, url, body, sent, _at_most(seconds))
                return again._replace(seconds=None)
        except TimeoutError:
            return Answer(0, b"", None, f"no complete answer within {seconds:g} s")
        except aiohttp.ClientConnectorError as error:
            return Answer(0, b"", None, f"cannot connect: {error.os_error.strerror or 'no route'}")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Answer(0, b"", None, f"no valid HTTP answer ({type(error).__name__})")

    async def _exchange(
        self, method: str, url: URL, body: bytes | None, headers: CIMultiDict[str], limit: aiohttp.ClientTimeout
    ) -> Answer:
        assert self._session
        began = perf_counter()
        async with self._session.request(
            method, url, data=body, headers=headers, allow_redirects=False, timeout=limit
        ) as response:
            content = await self._read(response)
            if content is None:
                response.close()
                return Answer(0, b"", None, f"the answer is larger than {self._max_bytes:,} bytes")
            return Answer(response.status, content, perf_counter() - began)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The body, or None when it is too large."""
        length = response.content_length
        if length is not None:  # HTTP's parser holds the server to it
            return await response.read() if length <= self._max_bytes else None
        parts = []
        room = self._max_bytes
        while room >= 0 and (part := await response.content.readany()):
            parts.append(part)
            room -= len(part)
        return b"".join(parts) if room >= 0 else None


@lru_cache(maxsize=64)
def _at_most(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)


def url_of(address: str, path: str) -> URL:
    """The URL of a path on an address; the path is sent as it is written, percent signs and all."""
    return URL(f"http://{address}{path}", encoded=True)


async def connects(address: str) -> str:
    """Why no connection to `host:port` is possible, or nothing."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return f"no connection within {CONNECT_SECONDS:g} s"
    except (OSError, ValueError, OverflowError) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    writer.close()
    return ""
