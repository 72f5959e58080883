"""HTTP requests to servers that are not trusted: no redirect, no proxy, no cookie, a bounded answer in bounded time."""

from __future__ import annotations

import aiohttp

MAX_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 2.0
MAX_QUERIES = 16
"""Connections to one server: no more requests than these may be under way to it, or one waits in its own time."""


class FetchError(Exception):
    """There is no whole answer; the message says why. `status`: the HTTP status, 0 without one."""

    def __init__(self, message: str, status: int = 0, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class SilentError(FetchError):
    """The answer did not come, or not end, in time."""


def session() -> aiohttp.ClientSession:
    """A session for `fetch`; the caller closes it, and bounds how many requests are under way."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=MAX_QUERIES),
        cookie_jar=aiohttp.DummyCookieJar(),
        # A small compressed body may be a huge one.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


async def fetch(client: aiohttp.ClientSession, url: str, form: dict[str, str] | None = None) -> bytes:
    """The body of a GET, or of a POST of `form`. Raises FetchError for any status but 200."""
    method = "GET" if form is None else "POST"
    try:
        async with client.request(method, url, data=form, allow_redirects=False) as response:
            body = await _read(response)
            if response.status != 200:
                raise FetchError(f"HTTP status {response.status}", response.status, body)
            return body
    except TimeoutError:
        raise SilentError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(_plain(error)) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > MAX_BYTES:
            raise FetchError(f"the answer is larger than {MAX_BYTES} bytes", response.status)
        chunks.append(chunk)
    return b"".join(chunks)


def _plain(error: Exception) -> str:
    """The kind of error, without addresses and ports: they change with each pod, a condition must not."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    return f"{type(error).__name__}: not an HTTP answer" if isinstance(error, ValueError) else type(error).__name__
