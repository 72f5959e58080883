"""What an operator asks of the world while nothing happens: 1,000 Models with 5 versions each, lineage and a mirror.

    PYTHONPATH=operator:tests "$(.venv/bin/python hack/mlflowenv.py)" benchmarks/idle.py
        [--models 1000] [--versions 5] [--mirrored 20] [--seconds 330]

Every request to the API server is counted on its way by a proxy, reads and watches too; a mirrored Model has all its
versions in a real MLflow server, whose log tells each request. Two things are no idle cost: the Lease is renewed, and
every five minutes each kind is listed once and compared, whatever the number of Models.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import bench as base
from aiohttp import ClientSession, web
from api.faults import FaultyApi
from bench import Bench, Operator, arguments, bench, kinds, simulate_nodes, simulated, wait_until
from figures import table
from fleet import memory
from kubeapi import Body, in_parallel
from kubernetes import config
from support.mlflowserver import Server
from topgraft.cluster.kinds import Kind

LINEAGE = {
    "trainingDataHash": "sha256:" + "7" * 64,
    "featureParameters": {"scale": "16"},
    "hyperparameters": {"learningRate": "0.1"},
}
HEALTH = "/health"


class Counted(FaultyApi):
    """The API server, with every request of the operator counted: its method and its resource."""

    def __init__(self) -> None:
        super().__init__(config.new_client_from_config().configuration)  # type: ignore[no-untyped-call]
        self.asked: Counter[tuple[str, str]] = Counter()

    async def _forward(self, session: ClientSession, request: web.Request) -> web.StreamResponse:
        method = "WATCH" if "watch=true" in request.query_string else request.method
        self.asked[method, _resource(request.path)] += 1
        return await super()._forward(session, request)


def _resource(path: str) -> str:
    named = re.search(r"/namespaces/[^/]+/([^/]+)", path)
    return named[1] if named else path.rpartition("/")[2]


def objects(bench: Bench, number: int, versions: int, mirrored: bool) -> list[tuple[Kind, Body]]:
    """A Model on simulated pods whose newest version serves; the others are records that came before."""
    (kind, model), (version_kind, version) = simulated(bench, number, replicas=1)
    spec = {**model["spec"], "lineagePolicy": "Enforce", **({"mlflow": {}} if mirrored else {})}
    made: list[tuple[Kind, Body]] = []
    for revision in range(1, versions + 1):
        meta = {**version["metadata"], "name": f"{model['metadata']['name']}-{revision}"}
        body = {**version["spec"], "revision": revision, "lineage": LINEAGE}
        made.append((version_kind, {**version, "metadata": meta, "spec": body}))
    return [*made, (kind, {**model, "spec": spec})]


def deploy(bench: Bench, models: int, versions: int, mirrored: int) -> None:
    """Create all, versions before their Models, and wait until every Model is ready and every mirror complete."""
    base.simulated_weights(bench)
    made = [objects(bench, number, versions, number < mirrored) for number in range(models)]
    in_parallel(lambda items: [bench.api.create(*item) for item in items], made)
    for number in range(models):
        body = bench.wait_ready(kinds.MODEL, f"model-{number:04}", 60 + models)
        if number < mirrored:
            name = body["metadata"]["name"]
            wait_until(lambda name=name: _mirrored(bench, name), 600, f"{name} is mirrored", every=0.5)


def _mirrored(bench: Bench, name: str) -> bool:
    said = bench.api.get(kinds.MODEL, bench.namespace, name).get("status", {}).get("conditions", [])
    return any(one["type"] == "MlflowSynced" and one["status"] == "True" for one in said)


def requests_of(log: Path) -> int:
    """Requests that the MLflow server has logged."""
    return sum("HTTP/1.1" in line and HEALTH not in line for line in log.read_text().splitlines())


def settle(api: Counted, operator: Operator, seconds: float = 30) -> None:
    """Until the operator has asked for nothing but its Lease for a while."""
    seen, since = _but_lease(Counter(api.asked)), time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if (now := _but_lease(Counter(api.asked))) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > seconds

    wait_until(quiet, 600, "the operator has nothing left to do", every=1)


def _but_lease(asked: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """A list or a watch that is begun anew is not idle work either: it comes with the time, not with the Models."""
    return {key: count for key, count in asked.items() if key[1] != "leases" and key[0] not in ("WATCH", "GET")}


def main() -> int:
    options = arguments(__doc__ or "", models=1000, versions=5, mirrored=20, seconds=330)
    simulate_nodes(20)
    with tempfile.TemporaryDirectory() as folder, bench("idle") as place, Counted().running() as api:
        server = Server(Path(folder))
        operator = Operator(
            place.namespace,
            place.folder / "operator.log",
            *("--log-format", "json", "--mlflow", server.url),
            kubeconfig=api.kubeconfig(place.folder),
        )
        try:
            server.start()
            operator.start(90)
            deploy(place, options.models, options.versions, options.mirrored)
            settle(api, operator)
            log = Path(folder) / "server.log"
            if not _but_lease(api.asked) or (options.mirrored and not requests_of(log)):
                raise SystemExit("nothing was counted while all was made: a zero would tell nothing")
            asked, told, used = Counter(api.asked), requests_of(log), base.cpu_seconds(operator.pid)
            time.sleep(options.seconds)
            new, mirror = api.asked - asked, requests_of(log) - told
            spent, (resident, peak) = base.cpu_seconds(operator.pid) - used, memory(operator)
        finally:
            operator.stop()
            server.stop()
    print(f"Idle for {options.seconds} s: {options.models} Models, {options.models * options.versions} versions")
    rows = [[f"{method} {resource}", count] for (method, resource), count in sorted(new.items())]
    table(("request to the API server", "count"), rows)
    table(
        ("", "measured"),
        [
            (f"requests to MLflow, {options.mirrored} Models mirrored ({told} before)", mirror),
            ("processor time of the operator", f"{spent:.1f} s"),
            ("memory", f"{resident:.0f} MiB (peak {peak:.0f})"),
        ],
    )
    return 0 if not _but_lease(new) and not mirror else 1


if __name__ == "__main__":
    sys.exit(main())
