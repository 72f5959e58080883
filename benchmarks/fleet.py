"""Many Models at once, on simulated nodes (kwok): restart of the operator, its memory, and 200 upgrades together.

    python benchmarks/fleet.py [--models 1000] [--upgrades 200] [--nodes 20]

Each Model has its version, its Deployment and 2 pods. The pods are not run, so the time is that of the API server, the
controllers and the operator, which share this machine's processors: the tables of CPU seconds say who used them.

For comparison as many plain Deployments of 2 pods get a new image at once, by rolling updates: what the control plane
takes on this machine without any proof, and with nothing kept to go back to.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import bench as base
from bench import Bench, Operator, arguments, bench, is_ready, kinds, simulate_nodes, simulated, wait_until
from figures import percentile, table
from kubeapi import Body, Seen, Watcher, in_parallel

RESTART_SECONDS, MEMORY_MEBIBYTES, UPGRADE_SECONDS = 15, 250, 30
SETTLE_SECONDS = 45
"""After the restart: the operator's first comparison with full lists comes 24 to 36 seconds after it is ready."""


def memory(operator: Operator) -> tuple[float, float]:
    """Resident memory of the operator now and at its peak, in MiB."""
    with open(f"/proc/{operator.pid}/status") as status:
        fields = dict(line.rstrip().split(":", 1) for line in status)
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def deploy(bench: Bench, models: int) -> float:
    """Create all Models and versions; returns how many seconds it took until all of them were served."""
    base.simulated_weights(bench)
    watched = Watcher(bench.api, kinds.MODEL, bench.namespace, 3600)
    time.sleep(1)
    began = time.monotonic()
    objects = [item for number in range(models) for item in simulated(bench, number, replicas=2)]
    in_parallel(lambda item: bench.api.create(*item), objects)
    _wait_for(watched, models, is_ready_now, 60 + models)
    return time.monotonic() - began


def is_ready_now(seen: Seen) -> bool:
    return is_ready(seen.object)


def _wait_for(watched: Watcher, count: int, matches: Callable[[Seen], bool], seconds: float) -> None:
    """Until so many objects have once matched."""
    found: set[str] = set()
    looked = 0

    def enough() -> bool:
        nonlocal looked
        fresh = watched.seen[looked:]
        looked += len(fresh)
        found.update(seen.name for seen in fresh if matches(seen))
        return len(found) >= count

    wait_until(enough, seconds, f"{count} objects are where they should be", every=0.2)


def restart(operator: Operator) -> float:
    """SIGKILL, start, ready: in seconds."""
    operator.kill()
    began = time.monotonic()
    operator.start(120)
    return time.monotonic() - began


def upgrade(bench: Bench, count: int, operator: Operator) -> list[float]:
    """Upgrade many Models at once. Prints each step's time; returns the seconds to Ready of each."""
    upgrades = Watcher(bench.api, kinds.ADAPTER_UPGRADE, bench.namespace)
    services = Watcher(bench.api, kinds.SERVICE, bench.namespace)
    deployments = Watcher(bench.api, kinds.DEPLOYMENT, bench.namespace)
    pods = Watcher(bench.api, kinds.POD, bench.namespace)
    time.sleep(2)
    used = Used({"operator": operator.pid})
    began = time.time()
    in_parallel(lambda item: bench.api.create(*item), [base.simulated_upgrade(bench, n) for n in range(count)])
    sent = time.time() - began
    _wait_for(upgrades, count, is_ready_now, 60 + count)
    wall = time.time() - began
    new = {seen.name for seen in deployments.seen if seen.type == "ADDED"}
    steps = {
        "upgrade accepted (its first status)": times(upgrades, lambda seen: bool(_status(seen).get("conditions"))),
        "preflight pod created": times(pods, _is_preflight),
        "preflight pod succeeded": times(pods, lambda seen: _is_preflight(seen) and _phase(seen) == "Succeeded"),
        "Deployment of the new version created": times(deployments, lambda seen: seen.name in new),
        "its Deployment tells of 2 ready pods": times(
            deployments, lambda seen: seen.name in new and _status(seen).get("readyReplicas") == 2
        ),
        "Service switched": times(services, lambda seen: seen.type == "MODIFIED"),
        "AdapterUpgrade Ready": times(upgrades, is_ready_now),
    }
    print(f"{count} upgrades, sent within {sent:.1f} s: seconds after the first was sent")
    rows = [(name, len(ats), *_spread([at - began for at in ats])) for name, ats in steps.items()]
    table(("step", "objects", "first", "median", "p99", "last"), rows)
    used.tell(wall)
    return [at - began for at in steps["AdapterUpgrade Ready"]]


class Used:
    """The CPU time of each process from here on."""

    def __init__(self, more: dict[str, int]) -> None:
        self._processes = {**base.local_processes(), **more, "this benchmark": os.getpid()}
        self._before = self._seconds()

    def _seconds(self) -> dict[str, float]:
        return {name: base.cpu_seconds(pid) for name, pid in self._processes.items()}

    def tell(self, wall: float) -> None:
        spent = {name: now - self._before[name] for name, now in self._seconds().items()}
        print(f"CPU seconds in these {wall:.1f} s on {os.cpu_count()} processors")
        most = sorted(spent.items(), key=lambda item: -item[1])[:8]
        table(("process", "CPU s"), [*most, ("all", sum(spent.values()))])


def update_plain(bench: Bench, count: int) -> float:
    """Roll as many plain Deployments to a new image at once; returns the seconds until all are complete."""
    deployments = Watcher(bench.api, kinds.DEPLOYMENT, bench.namespace)
    time.sleep(1)
    bodies = [base.simulated_deployment(bench, number, replicas=2) for number in range(count)]
    in_parallel(lambda body: bench.api.create(kinds.DEPLOYMENT, body), bodies)
    _wait_for(deployments, count, lambda seen: _is_complete(seen, 1), 60 + count)
    time.sleep(5)
    used, began = Used({}), time.time()
    container = {"name": "adapter", "image": "registry.local/simulated:v2"}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    in_parallel(
        lambda body: bench.api.merge(kinds.DEPLOYMENT, bench.namespace, body["metadata"]["name"], change), bodies
    )
    _wait_for(deployments, count, lambda seen: _is_complete(seen, 2), 60 + count)
    wall = time.time() - began
    print(f"{count} plain Deployments of 2 pods, rolling updates: all complete after {wall:.1f} s")
    used.tell(wall)
    return wall


def _is_complete(seen: Seen, generation: int) -> bool:
    status = _status(seen)
    counts = [status.get(name) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    return seen.name.startswith("plain-") and status.get("observedGeneration") == generation and counts == [2, 2, 2]


def times(watched: Watcher, matches: Callable[[Seen], bool]) -> list[float]:
    """When each object matched first."""
    firsts: dict[str, float] = {}
    for seen in list(watched.seen):
        if seen.name not in firsts and matches(seen):
            firsts[seen.name] = seen.at
    return list(firsts.values())


def _is_preflight(seen: Seen) -> bool:
    labels = seen.object["metadata"].get("labels", {})
    return bool(labels.get("topgraft.dev/role") == "preflight")


def _phase(seen: Seen) -> str:
    return str(_status(seen).get("phase", ""))


def _status(seen: Seen) -> Body:
    return dict(seen.object.get("status", {}))


def _spread(values: list[float]) -> tuple[float, ...]:
    return (min(values), statistics.median(values), percentile(values, 99), max(values)) if values else (0.0,) * 4


def main() -> int:
    options = arguments(__doc__ or "", models=1000, upgrades=200, nodes=20)
    simulate_nodes(options.nodes)
    with bench("fleet") as place, place.operator() as operator:
        served = deploy(place, options.models)
        print(f"{options.models} Models created and served by 2 simulated pods each after {served:.0f} s", flush=True)
        ready = restart(operator)
        time.sleep(SETTLE_SECONDS)
        now, peak = memory(operator)
        done = upgrade(place, options.upgrades, operator)
        later, highest = memory(operator)
        plain = update_plain(place, options.upgrades)
    rows = [
        ("restart to ready", f"{ready:.1f} s", f"< {RESTART_SECONDS} s"),
        ("memory, idle", f"{now:.0f} MiB (peak {peak:.0f})", f"< {MEMORY_MEBIBYTES} MiB"),
        ("memory, after the upgrades", f"{later:.0f} MiB (peak {highest:.0f})", f"< {MEMORY_MEBIBYTES} MiB"),
        (f"{options.upgrades} upgrades, all Ready", f"{max(done):.1f} s", f"<= {UPGRADE_SECONDS} s"),
        (f"{options.upgrades} plain Deployments", f"{plain:.1f} s", ""),
    ]
    table(("", "measured", "budget"), rows)
    return 0 if ready < RESTART_SECONDS and highest < MEMORY_MEBIBYTES and max(done) <= UPGRADE_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
