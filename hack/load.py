"""A steady stream of inference requests, every answer recorded. Standard library only: it also runs in a pod.

    python hack/load.py --url http://198.18.130.7:8080/v2/models/digits/infer --body request.json --output digit

Each client sends one request at a time at its share of the rate; a late one is sent at once, none is made up for. Half
of the clients keep their connection, the other half open a new one for every request. Prints one line for each answer
(`Answer.line`), until it is told to stop (SIGTERM) or a bound is reached.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

_REQUEST_SECONDS = 5


@dataclass(frozen=True)
class Answer:
    """`at`: when it was complete, in seconds since the epoch. `status` 0: there was none, `error` says why."""

    at: float
    seconds: float
    kept: bool
    status: int
    version: str
    value: str
    error: str

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300

    def line(self) -> str:
        fields = (self.at, self.seconds, self.kept, self.status, self.version, self.value, self.error)
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def parse(cls, line: str) -> Answer:
        return cls(*json.loads(line))


class Answers(list[Answer]):
    """What came back, in the order of its arrival, and the figures drawn from it."""

    @property
    def failures(self) -> Answers:
        return Answers(answer for answer in self if answer.failed)

    def of(self, version: str) -> Answers:
        return Answers(answer for answer in self if answer.version == version and not answer.failed)

    def between(self, begin: float, end: float = float("inf")) -> Answers:
        return Answers(answer for answer in self if begin <= answer.at < end)

    def versions(self) -> Counter[str]:
        """How many good answers each version gave."""
        return Counter(answer.version for answer in self if not answer.failed)

    def errors(self) -> Counter[str]:
        """How often each kind of failure came, apart for new and kept-alive connections."""
        return Counter(
            f"{answer.error or f'status {answer.status}'} ({'kept-alive' if answer.kept else 'new'})"
            for answer in self
            if answer.failed
        )

    def percentile(self, percent: float) -> float:
        """Seconds that this share of the good answers took at most; 0 without any."""
        times = sorted(answer.seconds for answer in self if not answer.failed)
        return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0


class Load:
    """The stream as a process of its own, its answers read as they come. Use it as a context manager."""

    def __init__(self, command: Iterable[str]) -> None:
        self.answers = Answers()
        self._other_lines: list[str] = []
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def from_here(cls, url: str, body: Path, output: str = "", clients: int = 8, rate: float = 400) -> Load:
        """Send from this machine; `output` names the output tensor whose first value is recorded."""
        options = ["--url", url, "--body", str(body), "--output", output, "--clients", str(clients)]
        return cls([sys.executable, __file__, *options, "--rate", str(rate)])

    def wait(self, condition: Callable[[Answers], bool], seconds: float, what: str) -> None:
        """Until the answers so far satisfy `condition`."""
        deadline = time.monotonic() + seconds
        while not condition(self.answers):
            if self._process.poll() is not None:
                raise RuntimeError(f"the load ended while waiting for {what}: {' '.join(self._other_lines[-5:])}")
            if time.monotonic() > deadline:
                counts = dict(self.answers.versions()), dict(self.answers.errors())
                raise TimeoutError(f"no {what} within {seconds:g} s; answers and failures so far: {counts}")
            time.sleep(0.05)

    def stop(self) -> Answers:
        """End the stream; what is under way is still answered."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_REQUEST_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(5)
        return self.answers

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("["):
                self.answers.append(Answer.parse(line))
            else:
                self._other_lines.append(line.strip())

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Client:
    """One sender with at most one request under way."""

    def __init__(self, url: str, body: bytes, output: str, keep: bool) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.keep, self.output = parts.hostname or "", parts.port or 80, keep, output
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        connection = "keep-alive" if keep else "close"
        self._request = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: {connection}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def send(self) -> Answer:
        began = time.monotonic()
        status, version, value, error = 0, "", "", ""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                status, body = await self._exchange()
            if 200 <= status < 300:
                version, value = self._meaning(body)
        except TimeoutError:
            status, error = 0, f"no answer within {_REQUEST_SECONDS} s"
        except (OSError, EOFError, ValueError, LookupError) as problem:
            # asyncio's own text names the address, which would make each a kind of its own.
            number = getattr(problem, "errno", None)
            status, error = 0, os.strerror(number) if number else type(problem).__name__
        if error:
            self.close()
        return Answer(time.time(), round(time.monotonic() - began, 4), self.keep, status, version, value, error)

    async def _exchange(self) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._connection
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close" or not self.keep:
            self.close()
        return int(head[0].split()[1]), body

    def _meaning(self, body: bytes) -> tuple[str, str]:
        """The version that answered, and the first value of the wanted output."""
        answer = json.loads(body)
        values = [output["data"][0] for output in answer.get("outputs", []) if output["name"] == self.output]
        return str(answer.get("model_version", "")), str(values[0]) if values else ""

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _stream(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    body = options.body.read_bytes()
    interval = options.clients / options.rate
    end = time.monotonic() + options.seconds
    sent = 0

    async def run(index: int) -> None:
        nonlocal sent
        client = _Client(options.url, body, options.output, keep=index % 2 == 0)
        due = time.monotonic() + interval * index / options.clients
        while not stopped.is_set() and time.monotonic() < end and sent < options.count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), max(0.0, due - time.monotonic()))
                break
            sent += 1
            print((await client.send()).line(), flush=True)
            due = max(due + interval, time.monotonic())
        client.close()

    await asyncio.gather(*(run(index) for index in range(options.clients)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="where to post, with an address: there may be no DNS")
    parser.add_argument("--body", required=True, type=Path, help="file with the request's JSON")
    parser.add_argument("--output", default="", help="output tensor whose first value is recorded")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=400, help="requests a second, all clients together")
    parser.add_argument("--seconds", type=float, default=900, help="stop after this long (default: %(default)g)")
    parser.add_argument("--count", type=int, default=500_000, help="stop after this many (default: %(default)d)")
    asyncio.run(_stream(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
