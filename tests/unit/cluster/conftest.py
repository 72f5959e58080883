import ssl
from collections.abc import AsyncIterator, Iterator
from functools import cache

import pytest
from fakeapi import FakeApi, fake_api


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Reading the machine's certificates for each client's TLS context is most of a test's time; none is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as running:
        yield running
