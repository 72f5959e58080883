"""A historic version's complete pod spec from its record: what "rebuild in under 500 ms" means where no pod stands.

    python benchmarks/render.py [--versions 100] [--rounds 5]

Each version is read as the API server gives it (JSON, 8 artifact volumes, 40 variables, 64 inputs in its recorded API)
and rendered to the whole Deployment as it would be sent; both are timed together, for one version at a time, in one
process. The Model has caches, tolerations and variables of its own. No cluster is needed.
"""

import argparse
import json
import statistics
import sys
import time

from figures import percentile
from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.rollout import render

BUDGET_MILLISECONDS = 500.0
DIGEST = "sha256:" + "d" * 64
MADE = "2026-01-01T00:00:00Z"


def main() -> int:
    """Print the milliseconds; exit status 1 when the slowest is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = Model.model_validate(model_body())
    records = [json.dumps(version_body(number)) for number in range(options.versions)]
    milliseconds, size = [], 0
    for _ in range(options.rounds):
        for record in records:
            started = time.perf_counter()
            version = ModelVersion.model_validate(json.loads(record))
            kept = render.Kept(f"{version.spec.adapter.image}@{DIGEST}")
            sent = json.dumps(render.deployment(model, version, kept, model.spec.serving.replicas))
            milliseconds.append((time.perf_counter() - started) * 1000)
            size = len(sent)
    print(f"{options.versions} versions, {options.rounds} rounds, Deployments of {size / 1024:.1f} KiB")
    median, slowest = statistics.median(milliseconds), max(milliseconds)
    print(f"record → complete pod spec: median {median:.2f} ms, p99 {percentile(milliseconds, 99):.2f} ms", end=", ")
    print(f"slowest {slowest:.2f} ms (budget {BUDGET_MILLISECONDS:g} ms)")
    return 0 if slowest < BUDGET_MILLISECONDS else 1


def model_body() -> dict[str, object]:
    meta = {"name": "digits", "namespace": "team", "uid": "1", "creationTimestamp": MADE}
    serving = {
        "replicas": 3,
        "resources": {"requests": {"cpu": "4", "memory": "32Gi"}, "limits": {"nvidia.com/gpu": "1"}},
        "tolerations": [{"key": f"pool-{number}", "operator": "Exists"} for number in range(8)],
        "nodeSelector": {"accelerator": "h100"},
        "env": [{"name": f"MODEL_{number}", "value": "x" * 50} for number in range(20)],
        "volumes": [
            {"name": "shm", "mountPath": "/dev/shm", "emptyDir": {"medium": "Memory"}},
            {"name": "cache", "mountPath": "/cache", "emptyDir": {}},
        ],
    }
    return {"metadata": meta, "spec": {"modelTypeId": "classifier", "serving": serving}}


def version_body(number: int) -> dict[str, object]:
    meta = {"name": f"digits-{number}", "namespace": "team", "uid": str(number), "creationTimestamp": MADE}
    volumes = [
        {"name": f"p{part}", "mountPath": f"/weights/{part}", "persistentVolumeClaim": {"claimName": f"weights-{part}"}}
        for part in range(8)
    ]
    adapter = {
        "image": f"registry.example.com/team/digits:{number}",
        "env": [{"name": f"ADAPTER_{one}", "value": f"{number}" * 20} for one in range(40)],
        "args": ["serve", "--workers", "4"],
    }
    inputs = [{"name": f"input-{one}", "type": "array", "shape": [-1, 64]} for one in range(64)]
    return {
        "metadata": meta,
        "spec": {"modelRef": {"name": "digits"}, "artifact": {"volumes": volumes}, "adapter": adapter},
        "status": {"artifact": {"digest": DIGEST}, "adapter": {"imageDigest": DIGEST}, "api": {"inputs": inputs}},
    }


if __name__ == "__main__":
    sys.exit(main())
