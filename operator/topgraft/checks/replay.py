"""Golden requests sent to the old and to the new version.

They go in blocks: some requests to one version, then the same to the other, in an order drawn by lot. So each
version is measured under its own load, and what disturbs the machine for longer than a few milliseconds hits both. No
answer is kept after its block. Requests that are repeated for their times go one at a time: a request that waits for
another one tells less about the code.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from math import nan
from time import monotonic

import numpy as np
from yarl import URL

from topgraft.checks.client import MAX_ANSWER_BYTES, Answer, Client, connects, url_of
from topgraft.checks.config import Config, Golden
from topgraft.checks.failure import CheckError
from topgraft.checks.findings import Findings
from topgraft.checks.goldenfile import GoldenFile, GoldenRequest
from topgraft.checks.latency import Latencies, decide

WARM_UP_REQUESTS = 20
WARM_UP_SECONDS = 10.0
MAX_REPEATED = 100
"""Requests that are sent again and again for the sake of their times."""
MAX_REPEAT_SECONDS = 60.0
_BLOCK = 32
"""At the end of a block nothing is sent until its last answer is there, so blocks are not too small, …"""
_REPEATED_BLOCK = 16
"""… but here they are: one request at a time leaves no gap, and the closer in time, the more alike is the noise."""
_BLOCK_BYTES = 256 << 20


class Version:
    """The pods of one version. A request always goes to the same one, so that its times can be compared."""

    def __init__(self, addresses: Sequence[str], path: str) -> None:
        self.addresses = addresses
        self._path = path
        self._urls = [url_of(address, path) for address in addresses]

    def url(self, index: int, path: str) -> URL:
        pod = index % len(self.addresses)
        return url_of(self.addresses[pod], path) if path and path != self._path else self._urls[pod]


class Replay:
    """One replay of a golden file; `latencies` is None at the first deployment, where nothing is compared."""

    def __init__(self, config: Config, golden: Golden, file: GoldenFile, end: float) -> None:
        """Take what to send, and when to have done, by the monotonic clock."""
        # The same number of pods of each: they are to do the same work.
        pods = min(len(config.candidate), len(config.serving)) if config.serving else len(config.candidate)
        self._new = Version(config.candidate[:pods], golden.path)
        self._old = Version(config.serving[:pods], golden.path) if config.serving else None
        self._golden = golden
        self._file = file
        self._end = end
        self._block = max(_BLOCK, 2 * golden.concurrency)
        self.max_answer_bytes = min(MAX_ANSWER_BYTES, _BLOCK_BYTES // (2 * self._block))
        count = min(MAX_REPEATED, len(file))
        self._repeated = [round(place) for place in np.linspace(0, len(file) - 1, count)]
        self.findings = Findings(golden, config.limits, has_old=bool(self._old))
        self.latencies = Latencies(count)
        self._limits = config.limits

    async def run(self, client: Client) -> bool:
        """Send everything; returns whether there was time for all. Raises CheckError."""
        await self._reach()
        await self._warm_up(client)
        complete = await self._send_all(client)
        self.findings.check_old()
        if complete and self._old and not self.findings.hopeless():
            await self._repeat(client)
        return complete

    async def _reach(self) -> None:
        for version, name in ((self._old, "serving"), (self._new, "candidate")):
            for address in version.addresses if version else ():
                if problem := await connects(address):
                    raise CheckError(
                        "GoldenUnreachable",
                        f"the {name} version's pod {address} cannot be reached: {problem}; it must be running, and "
                        "NetworkPolicies must let the verification pod connect",
                    )

    async def _warm_up(self, client: Client) -> None:
        """Connections, caches and compilers: what only the first requests pay for is not to count."""
        end = min(self._end, monotonic() + WARM_UP_SECONDS)
        for index in range(min(WARM_UP_REQUESTS, len(self._file))):
            for version in filter(None, (self._old, self._new)):
                for pod in range(len(version.addresses)):
                    if monotonic() < end:
                        await self._ask(client, version, pod, self._file[index])

    async def _send_all(self, client: Client) -> bool:
        place = {index: number for number, index in enumerate(self._repeated)}
        row = np.full((2, len(place)), nan)
        for indices in _blocks(range(len(self._file)), self._block):
            requests = [(index, self._file[index]) for index in indices]
            old, new = await self._both(client, requests, self._golden.concurrency)
            if monotonic() >= self._end:
                return False  # some answers of this block have been cut off
            self.latencies.add(_times(old), _times(new))
            for number, (index, request) in enumerate(requests):
                self.findings.add(request, old[number] if old else None, new[number])
                if index in place and old:
                    row[:, place[index]] = _time(old[number]), _time(new[number])
            if self.findings.hopeless():
                return True
        self.latencies.add_round(row)
        return True

    async def _repeat(self, client: Client) -> None:
        """Send some requests again, in rounds, until their times decide."""
        end = min(monotonic() + MAX_REPEAT_SECONDS, (monotonic() + self._end) / 2)
        requests = [(index, self._file[index]) for index in self._repeated]
        times = max(1, _REPEATED_BLOCK // len(requests))
        while monotonic() < end:
            if self.latencies.look_is_due() and decide(self.latencies, self._limits) != "Undecided":
                return
            rounds = np.full((2, times * len(requests)), nan)
            for block in _blocks(range(times * len(requests)), _REPEATED_BLOCK):
                old, new = await self._both(client, [requests[number % len(requests)] for number in block], 1)
                if monotonic() >= self._end:
                    return
                for pair in zip(old, new, strict=True):
                    self.findings.count(*pair)
                rounds[:, block.start : block.stop] = _times(old), _times(new)
                self.latencies.add(_times(old), _times(new))
            for row in np.split(rounds, times, axis=1):
                self.latencies.add_round(row)

    async def _both(
        self, client: Client, requests: Sequence[tuple[int, GoldenRequest]], concurrency: int
    ) -> tuple[list[Answer], list[Answer]]:
        """Send a block to one version, then to the other; the old one's answers are empty where there is none."""
        versions = [(1, self._new)] + ([(0, self._old)] if self._old else [])
        random.shuffle(versions)
        answers: tuple[list[Answer], list[Answer]] = ([], [])
        for number, version in versions:
            answers[number].extend(await self._send(client, version, requests, concurrency))
        return answers

    async def _send(
        self, client: Client, version: Version, requests: Sequence[tuple[int, GoldenRequest]], concurrency: int
    ) -> list[Answer]:
        answers: dict[int, Answer] = {}
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for number, (index, request) in waiting:
                answers[number] = await self._ask(client, version, index, request)

        await asyncio.gather(*(work() for _ in range(min(concurrency, len(requests)))))
        return [answers[number] for number in range(len(requests))]

    async def _ask(self, client: Client, version: Version, index: int, request: GoldenRequest) -> Answer:
        timeout = max(0.001, min(self._golden.timeout, self._end - monotonic()))
        return await client.send("POST", version.url(index, request.path), request.body, timeout)


def _blocks(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _times(answers: Sequence[Answer]) -> list[float]:
    return [_time(answer) for answer in answers]


def _time(answer: Answer) -> float:
    """In seconds; a failure has none: it may be quick, and is counted elsewhere."""
    return nan if answer.failed or answer.seconds is None else answer.seconds
