"""A light client that asks every served Model again and again, on new connections, and remembers each answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

EVERY_SECONDS = 0.25
LIMIT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """`version` answered, or `error` says why none did."""

    at: float
    version: str
    error: str


class Probes:
    """Asks `http://ADDRESS:PORT/v2/models/MODEL` for the version that serves; the Service's own address."""

    def __init__(self) -> None:
        self._targets: dict[str, tuple[str, int]] = {}
        self._answers: dict[str, list[Answer]] = {}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(4, "probe")
        self._thread = threading.Thread(target=self._run, daemon=True, name="probes")
        self._thread.start()

    def add(self, model: str, address: str, port: int = 8080) -> None:
        self._answers.setdefault(model, [])
        self._targets[model] = (address, port)

    def answers(self, model: str, since: float = 0.0) -> list[Answer]:
        return [answer for answer in list(self._answers[model]) if answer.at >= since]

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(2 * LIMIT_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            targets = list(self._targets.items())
            for (model, _), answer in zip(targets, self._pool.map(_ask, targets), strict=True):
                self._answers[model].append(answer)


def _ask(target: tuple[str, tuple[str, int]]) -> Answer:
    model, (address, port) = target
    connection = http.client.HTTPConnection(address, port, timeout=LIMIT_SECONDS)
    try:
        connection.request("GET", f"/v2/models/{model}", headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            return Answer(time.monotonic(), "", f"{answer.status}: {text}")
        return Answer(time.monotonic(), str(json.loads(text)["versions"][0]), "")
    except (OSError, http.client.HTTPException) as error:
        return Answer(time.monotonic(), "", repr(error))
    finally:
        connection.close()
