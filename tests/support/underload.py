"""Load on Models of a stage, and what its answers tell of a version that died."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from load import Answer, Answers, Load
from support.live import ROOT
from support.stage import Stage, condition

PORT = 8080
SAMPLE = json.loads((ROOT / "examples/digits/samples.json").read_text())[0]
LABEL = str(SAMPLE["label"])
"""What the sample is; v1 reads it wrong."""


def request_body() -> bytes:
    """An infer request that asks for the digit of the sample."""
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": SAMPLE["pixels"]}
    return json.dumps({"inputs": [tensor]}).encode()


def load_on(stage: Stage, name: str, folder: Path, rate: float) -> Load:
    """8 clients, half of them on kept-alive connections, that ask the Model's ClusterIP for the digit.

    They start once kube-proxy knows the Service: what is promised begins then.
    """
    stage.probe(name)
    address = stage.watched.live("Service", name)["spec"]["clusterIP"]
    body = folder / "request.json"
    body.write_bytes(request_body())
    return Load.from_here(f"http://{address}:{PORT}/v2/models/{name}/infer", body, "digit", rate=rate)


def epoch(monotonic: float) -> float:
    """The same moment in seconds since the epoch, as the load tells times."""
    return time.time() - time.monotonic() + monotonic


def noticed(stage: Stage, name: str, version: str) -> float:
    """When the API server told that the last pod of the version was not ready any more; 0 while one is ready."""
    lost: list[float] = []
    for states in stage.watched.all("Pod", model=name, version=version, role="serving"):
        was_ready, at = False, 0.0
        for seen in states:
            ready = not seen.gone and condition(seen.body)[0] == "True"
            at = seen.at if was_ready and not ready else 0.0 if ready else at
            was_ready = ready
        if was_ready:
            return 0.0
        lost.append(at)
    last = max(lost, default=0.0)
    return epoch(last) if last else 0.0


def lost_connections(answers: Iterable[Answer]) -> Answers:
    """Those that got no answer at all: refused, reset, too late."""
    return Answers(answer for answer in answers if answer.status == 0)


@dataclass(frozen=True)
class Death:
    """A new version `bad` was noticed to be dead at `noticed`; `good` took its place."""

    answers: Answers
    good: str
    bad: str
    noticed: float

    @property
    def turned(self) -> float:
        """When the data plane had followed: the first new connection after the notice that `good` answered."""
        new = (a for a in self.answers if not a.kept and a.version == self.good)
        return next((a.at for a in new if a.at - a.seconds >= self.noticed), float("inf"))

    @property
    def later(self) -> Answers:
        """What was asked after that, on new and on kept-alive connections."""
        return Answers(a for a in self.answers if a.at - a.seconds >= self.turned)

    def figures(self) -> str:
        failures, versions = self.answers.failures, self.answers.versions()
        unnoticed = failures.between(0, self.noticed)
        return (
            f"{len(self.answers):,} requests: {versions[self.good]:,} answered by the old version, "
            f"{versions[self.bad]:,} by the new one; failed: {len(unnoticed)} before the probe noticed, "
            f"{len(failures) - len(unnoticed)} until the data plane followed ({self.turned - self.noticed:.2f} s); "
            f"{len(lost_connections(self.answers))} refused or reset; {dict(self.answers.errors())}"
        )
