"""What the SDK's server costs: throughput against plain Starlette + uvicorn, and its start against bare Python.

    .venv/bin/python benchmarks/adapter_server.py [--seconds 5] [--rounds 5]

Both serve the digits example's predict() for the same V2 JSON, each in a process of its own; the plain one parses the
request with the same library, calls predict() in a thread and writes the answer, without a check of anything. Rounds
alternate, so that a busy machine slows both.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
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

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def imported(program: str, rounds: int) -> float:
    """The least milliseconds that a Python process with this program takes: others on the machine only add to it."""
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", program], env=environment(1), check=True)
        took.append(time.monotonic() - began)
    return min(took) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pixels = json.loads((EXAMPLE / "samples.json").read_text())[0]["pixels"]
    rows = []
    for count in (1, 32):
        tensor = {"name": "image", "shape": [count, 64], "datatype": "FP32", "data": pixels * count}
        body = json.dumps({"inputs": [tensor]}).encode()
        plain, ours = Server(PLAIN), Server(OURS)
        each = [(plain.asked(options.seconds, body), ours.asked(options.seconds, body)) for _ in range(options.rounds)]
        plain.stop()
        ours.stop()
        ratio = statistics.median(own / other for other, own in each)
        medians = [statistics.median(values) for values in zip(*each, strict=True)]
        rows.append((f"{count} rows a request", *(f"{value:.0f}/s" for value in medians), f"{100 * ratio:.0f} %"))
    table(("throughput", "plain", "topgraft-adapter", "ratio"), rows)
    print()
    starts = {
        "python": "pass",
        "python with numpy": "import numpy",
        "what `inspect` imports": "import topgraft_adapter.inspection",
        "what `serve` imports": "import topgraft_adapter.server",
        "starlette and uvicorn alone": "import starlette.applications, uvicorn",
    }
    bare = imported("pass", options.rounds)
    measured = [(name, imported(program, options.rounds)) for name, program in starts.items()]
    table(("start", "ms", "over bare Python"), [(name, f"{ms:.0f}", f"{ms - bare:+.0f}") for name, ms in measured])


if __name__ == "__main__":
    main()
