"""Back to a warm version by decision: how long until the Service is written, and until the other version's last answer.

    python benchmarks/rollback_latency.py [--rounds 50]
    python benchmarks/rollback_latency.py --cold [--rounds 10]

digits, 2 replicas, its former version warm with 2. Each round pins the Model to the version that does not serve. Every
other round the data plane is busy: another Service's endpoints change three times a second, and kube-proxy writes its
rules at most once a second, whatever changed.

decision → written: from the time in the Service's decision annotation to the operator's log line after the API server's
answer; both from one clock. edit → seen: from before the edit is sent until this program's watch brings the Service, a
second, independent source that holds both ways through the API server. last answer: of the version that was left, on
new connections, after the Service was written.

With --cold the version that is gone back to has no pod: it is checked and started again from its record, as after the
standby's time. Its image is on the node. Told apart, because it is another promise: seconds, and the old version serves
until then.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from bench import Bench, arguments, bench, kinds, wait_until
from figures import percentile, spread
from kubeapi import Body, Seen, Watcher
from load import Answers, Load

BUDGET = 0.1
DECISION = "topgraft.dev/decision"
SETTLE_SECONDS = 2.5  # more than twice kube-proxy's minSyncPeriod


@dataclass(frozen=True)
class Round:
    """Seconds, see above."""

    busy: bool
    written: float
    seen: float
    last: float


class OtherService:
    """A Service whose endpoints change, so that kube-proxy has something else to write."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.busy = False
        self._meta = {"name": "other", "namespace": bench.namespace}
        labels = {"kubernetes.io/service-name": "other", "endpointslice.kubernetes.io/managed-by": "benchmark"}
        ports = [{"name": "http", "port": 80}]
        bench.api.create(kinds.SERVICE, {"metadata": self._meta, "spec": {"ports": ports}})
        meta = {**self._meta, "labels": labels}
        body = {"metadata": meta, "addressType": "IPv4", "ports": ports, "endpoints": []}
        bench.api.create(kinds.ENDPOINT_SLICE, body)
        threading.Thread(target=self._change, daemon=True).start()

    def _change(self) -> None:
        for number in range(10_000):
            time.sleep(0.33)
            if self.busy:
                address = f"198.19.250.{number % 200 + 1}"
                change = {"endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}
                self._bench.api.merge(kinds.ENDPOINT_SLICE, self._bench.namespace, "other", change)


def decision(service: Body) -> Body:
    return dict(json.loads(service["metadata"]["annotations"][DECISION]))


def go_to(bench: Bench, version: str, services: Watcher, load: Load, busy: bool) -> Round:
    """Pin the Model to a warm version, and measure."""
    known = len(services.seen)

    def switched(seen: Seen) -> bool:
        return seen.name == "digits" and seen.type == "MODIFIED" and decision(seen.object)["to"] == version

    began = time.time()
    bench.api.merge(kinds.MODEL, bench.namespace, "digits", {"spec": {"serving": {"version": version}}})
    found = wait_until(lambda: services.first(switched, known), 30, f"the Service selects {version}", every=0.01)
    assert found is not None

    load.wait(lambda answers: only(answers, version), 30, f"only {version} answering")
    time.sleep(0.5)
    decided = timestamp(decision(found.object)["time"])
    written = wait_until(lambda: switch_logged(bench, decided), 10, "the log line of the switch") or 0.0

    left = [answer.at for answer in load.answers if not answer.kept and answer.version not in ("", version)]
    return Round(busy, written - decided, found.at - began, max(left) - written)


def only(answers: Answers, version: str) -> bool:
    return {answer.version for answer in answers[-60:]} == {version}


def timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def switch_logged(bench: Bench, after: float) -> float | None:
    """When the operator logged that it had written the Service."""
    for line in reversed((bench.folder / "operator.log").read_text().splitlines()):
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("action") == "switch":
            at = timestamp(entry["ts"])
            return at if at >= after - 0.001 else None  # the log has milliseconds, the decision microseconds
    return None


def warm(bench: Bench, version: str) -> bool:
    """Say whether a version has its two pods ready, and the one before it is gone or warm, too."""
    found = bench.api.get(kinds.DEPLOYMENT, bench.namespace, version)
    status = found.get("status", {})
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    counts = [status.get(name) for name in ("readyReplicas", "updatedReplicas", "replicas")]
    return bool(current and counts == [2, 2, 2])


def main() -> int:
    cold = "--cold" in sys.argv
    sys.argv = [one for one in sys.argv if one != "--cold"]
    options = arguments(__doc__ or "", rounds=10 if cold else 50)
    if cold:
        return cold_path(options.rounds)
    with bench("rollback", adapters=("v1", "v2")) as place, place.operator():
        rounds = measure(place, options.rounds)
    written = [item.written for item in rounds]
    print(f"{len(rounds)} rounds, milliseconds")
    print(f"decision → Service written             {spread(_milliseconds(written), 'ms', 1)}  (budget p99 < 100 ms)")
    print(f"edit of the Model → Service seen       {spread(_milliseconds([r.seen for r in rounds]), 'ms', 1)}")
    for name, busy in (("quiet", False), ("busy", True)):
        last = _milliseconds([item.last for item in rounds if item.busy is busy])
        if last:
            print(f"written → last old answer, {name:5} proxy  {spread(last, 'ms', 1)}")
    return 0 if percentile(written, 99) < BUDGET else 1


def measure(bench: Bench, count: int) -> list[Round]:
    """All rounds, quiet and busy in turn, under one load."""
    bench.digits(bake=0, standby=86_400, standby_replicas=2)
    bench.upgrade(bench.image("v2"))
    upgraded = bench.wait_ready(kinds.ADAPTER_UPGRADE, "digits", 120)["status"]
    versions = upgraded["fromVersion"], upgraded["toVersion"]
    other = OtherService(bench)
    services = Watcher(bench.api, kinds.SERVICE, bench.namespace)
    rounds = []
    with Load.from_here(bench.url(), bench.request(), clients=8, rate=400) as load:
        for number in range(count):
            busy = number % 2 == 1
            wait_until(lambda: all(warm(bench, version) for version in versions), 120, "both versions are warm")
            other.busy = busy
            time.sleep(SETTLE_SECONDS)
            rounds.append(go_to(bench, versions[number % 2], services, load, busy))
            other.busy = False
    return rounds


def cold_path(count: int) -> int:
    """Rounds to a version without pods, in seconds from the edit; exit status 1 when a request failed."""
    seconds: dict[str, list[float]] = {
        "pods asked for": [],
        "pods ready": [],
        "Service seen": [],
        "last old answer": [],
    }
    with bench("rollback-cold", adapters=("v1", "v2")) as place, place.operator():
        place.digits(bake=0, standby=0)
        place.upgrade(place.image("v2"))
        upgraded = place.wait_ready(kinds.ADAPTER_UPGRADE, "digits", 120)["status"]
        versions = upgraded["fromVersion"], upgraded["toVersion"]
        services = Watcher(place.api, kinds.SERVICE, place.namespace)
        deployments = Watcher(place.api, kinds.DEPLOYMENT, place.namespace)
        with Load.from_here(place.url(), place.request(), clients=8, rate=200) as load:
            for number in range(count):
                to, left = versions[number % 2], versions[1 - number % 2]
                wait_until(lambda: gone(place, to), 120, f"{to} has no pods")  # noqa: B023 - called within this turn
                time.sleep(SETTLE_SECONDS)
                for name, value in go_cold(place, to, left, services, deployments, load).items():
                    seconds[name].append(value)
            failed, total = len(load.answers.failures), len(load.answers)
    print(f"cold, {count} rounds, from the edit of the Model")
    for name, values in seconds.items():
        print(f"→ {name:16}  {spread(values, 's', 2)}")
    print(f"requests failed: {failed} of {total}")
    return 1 if failed else 0


def gone(bench: Bench, version: str) -> bool:
    """Say whether a version has no pod left."""
    return not bench.api.list(kinds.POD, bench.namespace, f"?labelSelector=topgraft.dev/version%3D{version}")


def go_cold(bench: Bench, to: str, left: str, services: Watcher, deployments: Watcher, load: Load) -> dict[str, float]:
    """Pin the Model to a version without pods, and measure."""
    known, made = len(services.seen), len(deployments.seen)

    def switched(seen: Seen) -> bool:
        return seen.name == "digits" and seen.type == "MODIFIED" and decision(seen.object)["to"] == to

    def asked(seen: Seen) -> bool:
        return seen.name == to and seen.type == "ADDED"

    def ready(seen: Seen) -> bool:
        return seen.name == to and seen.object.get("status", {}).get("readyReplicas") == 2

    began = time.time()
    bench.api.merge(kinds.MODEL, bench.namespace, "digits", {"spec": {"serving": {"version": to}}})
    moved = wait_until(lambda: services.first(switched, known), 120, f"the Service selects {to}", every=0.01)
    load.wait(lambda answers: only(answers, to), 30, f"only {to} answering")
    time.sleep(0.5)
    first, complete = deployments.first(asked, made), deployments.first(ready, made)
    if moved is None or first is None or complete is None:
        sys.exit(f"the watches did not bring how {to} came to serve")
    last = max(answer.at for answer in load.answers if not answer.kept and answer.version == left)
    return {
        "pods asked for": first.at - began,
        "pods ready": complete.at - began,
        "Service seen": moved.at - began,
        "last old answer": last - began,
    }


def _milliseconds(values: list[float]) -> list[float]:
    return [value * 1000 for value in values]


if __name__ == "__main__":
    sys.exit(main())
