"""How many writes one adapter upgrade costs, and how many an idle operator makes.

    python benchmarks/writes.py [--models 50] [--idle-seconds 60]

Two sources, side by side. The API server's own metrics count requests by resource and verb, but not by client: so of
them only server-side applies are taken, for here nobody else applies (kubelet, controllers and this benchmark use other
verbs). The operator's own metrics count all that it sends: they add its deletions and events, which in the API server's
figures stand together with those of the controllers. Both sources have to agree on the applies; where they do not,
another client applied in the meantime, and the run says so.


Renewing the Lease is a heartbeat and not counted, here as for every controller with leader election.
"""

import re
import sys
import time
from collections import Counter

from bench import Bench, Operator, arguments, bench, kinds, simulate_nodes, simulated, simulated_weights, wait_until
from figures import table
from kubeapi import in_parallel

OBJECTS, EVENTS, STANDBY_PODS = 14, 5, 2

SAMPLE = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
NAMES = {kind.plural: kind.name for kind in kinds.WATCHED}

Writes = Counter[tuple[str, str]]


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of one metric: labels and value."""
    found = (sample for sample in SAMPLE.findall(text) if sample[0] == name)
    return [(dict(LABEL.findall(labels)), float(value)) for _, labels, value in found]


def server_writes(bench: Bench) -> Writes:
    """What the API server counted so far, by object and verb, of requests that only the operator sends."""
    writes: Writes = Counter()
    for labels, value in samples(bench.api.text("GET", "/metrics"), "apiserver_request_total"):
        resource, verb = labels["resource"], labels["verb"]
        if resource in NAMES and verb == "APPLY":
            writes[_label(NAMES[resource], labels["subresource"]), verb] += int(value)
    return writes


def operator_writes(operator: Operator) -> Writes:
    """What the operator says it sent, by object and verb."""
    verbs = {"apply": "APPLY", "create": "POST", "replace": "PUT", "delete": "DELETE"}
    writes: Writes = Counter()
    for labels, value in samples(operator.metrics(), "topgraft_writes_total"):
        if labels["kind"] != "Lease":
            writes[labels["kind"], verbs[labels["verb"]]] += int(value)
    return writes


def _label(kind: str, subresource: str) -> str:
    return f"{kind}/{subresource}" if subresource else kind


def by_kind(writes: Writes) -> Writes:
    """Drop the subresource: the operator's metrics do not tell it."""
    merged: Writes = Counter()
    for (label, verb), count in writes.items():
        merged[label.partition("/")[0], verb] += count
    return merged


def upgrade(bench: Bench, operator: Operator) -> bool:
    """One upgrade of digits, 2 replicas. Prints what it cost; returns whether that is within the budget."""
    bench.digits(bake=5, standby=600)
    settle(operator)
    before = server_writes(bench), operator_writes(operator)
    bench.upgrade(bench.image("v2"))
    bench.wait_ready(kinds.ADAPTER_UPGRADE, "digits", 120)
    settle(operator)
    server, own = server_writes(bench) - before[0], operator_writes(operator) - before[1]
    print("One upgrade, 2 replicas, standby of 1:")
    seen = by_kind(server)
    rows = [[f"{verb} {label}", count, ""] for (label, verb), count in sorted(server.items())]
    rows += [[f"{verb} {kind}", "-", count] for (kind, verb), count in sorted(own.items()) if (kind, verb) not in seen]
    events = own["Event", "POST"]
    armed, disarmed = own["EndpointSlice", "APPLY"], own["EndpointSlice", "DELETE"]
    objects = sum(own.values()) - events - armed - disarmed

    table(("write", "API server", "only the operator knows"), rows)
    print(f"objects {objects} (budget {OBJECTS}), events {events} (budget {EVENTS})", end=", ")
    print(f"slices of standby pods: {armed} written, {disarmed} deleted (budget {STANDBY_PODS} written)")
    compare(server, own)
    return objects <= OBJECTS and events <= EVENTS and armed <= STANDBY_PODS


def compare(server: Writes, own: Writes) -> None:
    """Say where the two sources differ."""
    for key, count in sorted(by_kind(server).items()):
        if own[key] != count:
            print(f"{key[1]} {key[0]}: the API server counted {count}, the operator {own[key]}: others wrote, too")


def idle(bench: Bench, operator: Operator, models: int, seconds: int) -> bool:
    """Models in peace, on simulated nodes. Prints what was written; returns whether that was nothing."""
    simulate_nodes(2)
    simulated_weights(bench)
    objects = [item for number in range(models) for item in simulated(bench, number, replicas=1)]
    in_parallel(lambda item: bench.api.create(*item), objects)
    for number in range(models):
        bench.wait_ready(kinds.MODEL, f"model-{number:04}", 300)
    settle(operator)
    before = server_writes(bench), operator_writes(operator)
    time.sleep(seconds)
    server, own = server_writes(bench) - before[0], operator_writes(operator) - before[1]
    print(f"Idle for {seconds} s with {models + 1} Models:")
    rows = [[f"{verb} {label}", count, own[label, verb]] for (label, verb), count in sorted((server | own).items())]
    table(("write", "API server", "operator"), rows or [["none", 0, 0]])
    return not own


def settle(operator: Operator, seconds: float = 8) -> None:
    """Wait until the operator has written nothing for a while."""
    last = operator_writes(operator), time.monotonic()

    def quiet() -> bool:
        nonlocal last
        now = operator_writes(operator)
        if now != last[0]:
            last = now, time.monotonic()
        return time.monotonic() - last[1] > seconds

    wait_until(quiet, 180, "the operator has nothing left to write", every=0.5)


def main() -> int:
    options = arguments(__doc__ or "", models=50, idle_seconds=60)
    with bench("writes", adapters=("v1", "v2")) as place, place.operator() as operator:
        within = upgrade(place, operator)
        peace = idle(place, operator, options.models, options.idle_seconds)
    return 0 if within and peace else 1


if __name__ == "__main__":
    sys.exit(main())
