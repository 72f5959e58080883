"""A little traffic on a Model from this process, with feedback: enough for limits on what users get."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any

from support.live import ROOT

PORT = 8080
SAMPLES: list[dict[str, Any]] = json.loads((ROOT / "examples/digits/samples.json").read_text())
TIMEOUT_SECONDS = 5


CLIENTS = 4


class Traffic:
    """`rate` requests per second, each on its own connection; with feedback of what would have been right.

    Several clients: a version that answers late must not get too few requests to be judged by.
    """

    def __init__(self, name: str, address: str, rate: float = 15, *, feedback: bool = False, port: int = PORT) -> None:
        self.answers: Counter[str] = Counter()
        self._infer = f"/v2/models/{name}/infer"
        self._address, self._port = address, port
        self._pause = CLIENTS / rate
        self._feedback = feedback
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def during(self, seconds: float) -> Counter[str]:
        """The answers of the next seconds."""
        before = Counter(self.answers)
        time.sleep(seconds)
        return Counter(self.answers) - before

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * TIMEOUT_SECONDS)

    def _run(self, number: int) -> None:
        while not self._stop.wait(self._pause):
            number += CLIENTS
            try:
                self._one(number, SAMPLES[number % len(SAMPLES)])
            except (OSError, http.client.HTTPException, ValueError):
                self.answers["failed"] += 1
                time.sleep(self._pause)

    def _one(self, number: int, sample: dict[str, Any]) -> None:
        tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": sample["pixels"]}
        status, answer = self._post(self._infer, {"id": str(number), "inputs": [tensor]})
        self.answers[answer.get("model_version", "failed")] += 1
        if self._feedback and status == 200:
            digit = next(output["data"] for output in answer["outputs"] if output["name"] == "digit")
            told = {"label": sample["label"], "answer": digit, "version": answer["model_version"]}
            self._post("/feedback", told)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, json.dumps(body), {"Connection": "close"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()
