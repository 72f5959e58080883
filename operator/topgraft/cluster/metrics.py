"""What Prometheus sees. Labels have few values: never a Model's name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

# Without this every counter and histogram has a twin `…_created`, a third more lines that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

RECONCILES = Counter("topgraft_reconcile", "Turns of the control loop.", ["result"])
RECONCILE_SECONDS = Histogram(
    "topgraft_reconcile_duration_seconds",
    "Time of one turn, its writes included.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WRITES = Counter("topgraft_writes", "Writes to the API server.", ["kind", "verb", "code"])
WRITE_SECONDS = Histogram(
    "topgraft_write_duration_seconds",
    "Time of one write to the API server.",
    ["kind"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ROLLOUTS = Counter("topgraft_rollouts", "Rollouts that ended.", ["outcome"])
EVENTS_DROPPED = Counter("topgraft_events_dropped", "Kubernetes Events that could not be posted.")
RESYNC_REPAIRS = Counter("topgraft_resync_repairs", "Models whose cached objects a resync had to correct.")
SCRAPES = Counter("topgraft_scrapes", "Reads of an adapter's metrics.", ["result"])
SAMPLE_SECONDS = Histogram(
    "topgraft_sample_duration_seconds",
    "Time to read the live traffic of one Model once.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
MIRRORINGS = Counter("topgraft_mirrorings", "Times that a Model was mirrored in MLflow.", ["result"])
LEADER = Gauge("topgraft_leader", "1 while this process holds the Lease.")
BUILD = Info("topgraft_build", "The running release.")

VERBS = {"PATCH": "apply", "POST": "create", "PUT": "replace", "DELETE": "delete"}


def write(method: str, kind: str, status: int, seconds: float) -> None:
    """Count one write; status 0 stands for no answer."""
    WRITES.labels(kind, VERBS[method], str(status) if status else "none").inc()
    WRITE_SECONDS.labels(kind).observe(seconds)
