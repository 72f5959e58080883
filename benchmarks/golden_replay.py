"""`topgraft verify` beside a plain HTTP load that sends the same requests to the same two servers.

    python benchmarks/golden_replay.py [--requests 10000] [--bytes 1024] [--rounds 5] [--concurrency 2]

Both are whole processes, timed with their start, and both send every golden request once to each server on kept-alive
connections. The replay also checks the file, warms up, compares the answers and measures latency. The rounds alternate
between the two and each pair gives one ratio, so that a change of the machine's load during the run falls on both. Far
more seconds by the clock than CPU seconds mean that other work ran on the machine; latency is then measured for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp

BUDGET = 1.2
PATH = "/v2/models/m/infer"


def main() -> int:
    """Print a table; exit status 1 when the median ratio is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=1024, help="of each body")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        file, *ports = options.load
        asyncio.run(load(Path(file), [int(port) for port in ports], options.concurrency))
        return 0
    with tempfile.TemporaryDirectory(prefix="topgraft-golden-replay-") as folder, servers(2) as ports:
        file = Path(folder) / "requests.jsonl"
        write_requests(file, options.requests, options.bytes)
        plain = [
            sys.executable,
            __file__,
            "--concurrency",
            str(options.concurrency),
            "--load",
            str(file),
            *map(str, ports),
        ]
        replay = [sys.executable, "-m", "topgraft.cli", "verify", "--config", config(file, ports, options.concurrency)]
        pairs = [(run(plain), run(replay)) for _ in range(options.rounds)]
    sent = f"2 × {options.requests:,} requests of {options.bytes:,} bytes, {options.concurrency} at once"
    print(f"{sent}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print("round  plain load s (CPU s)  topgraft verify s (CPU s)  ratio")
    for number, (one, other) in enumerate(pairs, 1):
        print(f"{number:5}  {one.wall:11.2f} ({one.cpu:6.2f})  {other.wall:16.2f} ({other.cpu:6.2f})", end="  ")
        print(f"{other.wall / one.wall:5.2f}")
    print(f"median of the CPU seconds: ratio {statistics.median(other.cpu / one.cpu for one, other in pairs):.2f}")
    ratio = statistics.median(other.wall / one.wall for one, other in pairs)
    print(f"median of the rounds: ratio {ratio:.2f} (budget {BUDGET})")
    return 0 if ratio <= BUDGET else 1


def write_requests(file: Path, count: int, size: int) -> None:
    """Write golden requests whose bodies have `size` bytes."""
    with file.open("w") as lines:
        for number in range(count):
            data = [(number + place) % 17 for place in range(64)]
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "data": data}], "note": ""}
            body["note"] = "x" * (size - len(json.dumps(body, separators=(",", ":"))))
            lines.write(json.dumps({"id": f"r{number}", "body": body, "label": 3}) + "\n")


def config(file: Path, ports: list[int], concurrency: int) -> str:
    serving, candidate = (f"127.0.0.1:{port}" for port in ports)
    told = {
        "candidate": {"addresses": [candidate]},
        "serving": {"addresses": [serving]},
        "model": "m",
        "golden": {"file": str(file), "concurrency": concurrency},
        "deadlineSeconds": 900,
    }
    return json.dumps(told)


async def load(file: Path, ports: list[int], concurrency: int) -> None:
    """Send every request to each server, as quickly as the client can, and look at nothing but the status."""
    bodies = [json.dumps(json.loads(line)["body"], separators=(",", ":")).encode() for line in file.open()]
    waiting = iter([(f"http://127.0.0.1:{port}{PATH}", body) for body in bodies for port in ports])

    async def work(session: aiohttp.ClientSession) -> None:
        for url, body in waiting:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 200
                await answer.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))


SERVER = """
import asyncio, json
scores = [0.01] * 9 + [0.91]
outputs = [{"name": "digit", "datatype": "INT32", "shape": [1], "data": [3]},
           {"name": "probability", "datatype": "FP32", "shape": [1, 10], "data": scores}]
body = json.dumps({"model_name": "m", "model_version": "1", "outputs": outputs}).encode()
answer = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body
class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.read = transport, b""
    def data_received(self, data):
        self.read += data
        head, end, rest = self.read.partition(b"\\r\\n\\r\\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0] or 0)
        if end and len(rest) >= length:
            self.read = b""
            json.loads(rest)
            self.transport.write(answer)
async def main():
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
"""An adapter as quick as Python can be: it reads the request's JSON and answers always the same."""


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[int]]:
    """Run that many; yields their ports."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            assert process.stdout
            ports.append(int(process.stdout.readline()))
        yield ports


class Seconds(NamedTuple):
    """What a command took by the clock, and on all processors together."""

    wall: float
    cpu: float


def run(command: list[str]) -> Seconds:
    """Run a command to its end and return what it took."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{command[:4]} ended with {process.returncode}:\n{output.read()}")
    return Seconds(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
