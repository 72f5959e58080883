"""What the SDK's server costs: throughput against plain Starlette + uvicorn, and its start against bare Python.

    .venv/bin/python benchmarks/adapter_server.py [--seconds 5] [--rounds 5]

Both serve the digits example's predict() for the same V2 JSON, each in a process of its own, under the same uvicorn
with the same HTTP parser. The plain one parses the request with the same library, calls predict() in a thread, as any
server must whose health answers may not wait for it, and writes the answer: no check, figure or limit of anything.
Rounds alternate, so that a busy machine slows both; the processor time of a request hardly depends on the others.

Starts: what Python processes with these imports take over one without any, and the time from a server's start to its
first ready answer. `numpy and uvicorn` is what any server of this adapter imports; the rest of `serve` is our own.
"""

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from figures import table

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/digits"
CLIENTS = 4

PLAIN = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, orjson, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from digits_adapter import DigitsAdapter
from topgraft_adapter import ModelStateReader

adapter = DigitsAdapter.load(ModelStateReader(os.environ["TOPGRAFT_ARTIFACT_DIR"]))
threads = ThreadPoolExecutor(32)
NAMES = {"i": "INT32", "f": "FP32"}

def work(body):
    (given,) = orjson.loads(body)["inputs"]
    image = np.array(given["data"], dtype=np.float32).reshape(given["shape"])
    found = adapter.predict(image)
    outputs = []
    for name, value in found.items():
        tensor = np.asarray(value, dtype=np.int32 if name == "digit" else np.float32)
        outputs.append({"name": name, "shape": list(tensor.shape), "datatype": NAMES[tensor.dtype.kind],
                        "data": tensor.ravel().tolist()})
    return orjson.dumps({"model_name": "digits", "model_version": "digits-1", "outputs": outputs})

async def infer(request):
    body = await request.body()
    answer = await asyncio.get_running_loop().run_in_executor(threads, work, body)
    return Response(answer, media_type="application/json")

async def ready(request):
    return Response(b"{}")

app = Starlette(routes=[Route("/v2/models/digits/infer", infer, methods=["POST"]), Route("/v2/health/ready", ready)])
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["TOPGRAFT_PORT"]), log_level="critical", http="h11",
            access_log=False, loop="asyncio")
"""
OURS = "import sys; from topgraft_adapter.cli import main; sys.exit(main(['serve', '--host', '127.0.0.1']))"


def environment(port: int) -> dict[str, str]:
    own = {
        "PYTHONPATH": str(EXAMPLE / "adapters/v2"),
        "OPENBLAS_NUM_THREADS": "1",
        "TOPGRAFT_ADAPTER": "digits_adapter:DigitsAdapter",
        "TOPGRAFT_ARTIFACT_DIR": str(EXAMPLE),
        "TOPGRAFT_MODEL": "digits",
        "TOPGRAFT_VERSION": "digits-1",
        "TOPGRAFT_PORT": str(port),
        "TOPGRAFT_MAX_CONNECTION_AGE_SECONDS": "3600",
    }
    return {**os.environ, **own}


class Server:
    def __init__(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], env=environment(self.port), stderr=subprocess.DEVNULL
        )
        while not self._ready():
            time.sleep(0.002)
        self.started = time.monotonic() - began

    def _ready(self) -> bool:
        try:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/health/ready", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except OSError:
            return False

    def asked(self, seconds: float, body: bytes) -> float:
        """Requests a second, from a few kept connections."""
        counts = [0] * CLIENTS
        end = time.monotonic() + seconds

        def ask(place: int) -> None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
            while time.monotonic() < end:
                connection.request("POST", "/v2/models/digits/infer", body)
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                counts[place] += 1

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds

    def worked(self) -> float:
        """Seconds of processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Rounds:
    """What one server did in all rounds."""

    def __init__(self, program: str, body: bytes, seconds: float) -> None:
        self.server = Server(program)
        self.body = body
        self.seconds = seconds
        self.rates: list[float] = []
        self.worked = 0.0
        self.server.asked(0.5, body)  # its threads and caches

    def round(self) -> None:
        before = self.server.worked()
        self.rates.append(self.server.asked(self.seconds, self.body))
        self.worked += self.server.worked() - before

    def told(self) -> str:
        microseconds = 1e6 * self.worked / (sum(self.rates) * self.seconds)
        return f"{statistics.median(self.rates):.0f}/s, {microseconds:.0f} µs"


def imported(program: str) -> float:
    """The milliseconds that a Python process with this program takes."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], env=environment(1), check=True)
    return (time.monotonic() - began) * 1000


def first_ready(program: str) -> float:
    """The milliseconds from a server's start to its first ready answer."""
    server = Server(program)
    server.stop()
    return server.started * 1000


def throughput(seconds: float, rounds: int) -> None:
    pixels = json.loads((EXAMPLE / "samples.json").read_text())[0]["pixels"]
    rows = []
    for count in (1, 32):
        tensor = {"name": "image", "shape": [count, 64], "datatype": "FP32", "data": pixels * count}
        body = json.dumps({"inputs": [tensor]}).encode()
        both = plain, ours = Rounds(PLAIN, body, seconds), Rounds(OURS, body, seconds)
        for number in range(rounds):
            for one in both if number % 2 == 0 else reversed(both):
                one.round()
        for one in both:
            one.server.stop()
        ratio = statistics.median(own / other for own, other in zip(ours.rates, plain.rates, strict=True))
        rows.append((f"{count} rows a request", plain.told(), ours.told(), f"{100 * ratio:.0f} %"))
    table(("throughput, processor time", "plain", "topgraft-adapter", "ratio"), rows)


def starts(rounds: int) -> None:
    """The least of all rounds: others on the machine only add to it."""
    asked = {
        "python": partial(imported, "pass"),
        "numpy": partial(imported, "import numpy"),
        "uvicorn": partial(imported, "import uvicorn.protocols.http.h11_impl"),
        "numpy and uvicorn": partial(imported, "import numpy, orjson, uvicorn.protocols.http.h11_impl"),
        "numpy, uvicorn and starlette": partial(
            imported, "import numpy, orjson, uvicorn.protocols.http.h11_impl, starlette.applications"
        ),
        "what `serve` imports": partial(imported, "import topgraft_adapter.server"),
        "what `inspect` imports": partial(imported, "import topgraft_adapter.inspection"),
        "plain, to its first ready answer": partial(first_ready, PLAIN),
        "topgraft-adapter, to its first ready answer": partial(first_ready, OURS),
    }
    least = dict.fromkeys(asked, math.inf)
    for _ in range(rounds):
        for name, measure in asked.items():
            least[name] = min(least[name], measure())
    bare = least["python"]
    table(("start", "ms", "over bare Python"), [(name, f"{ms:.0f}", f"{ms - bare:+.0f}") for name, ms in least.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    throughput(options.seconds, options.rounds)
    print()
    starts(3 * options.rounds)


if __name__ == "__main__":
    main()
