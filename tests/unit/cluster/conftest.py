from collections.abc import AsyncIterator

import pytest
from fakeapi import FakeApi, fake_api


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as running:
        yield running
