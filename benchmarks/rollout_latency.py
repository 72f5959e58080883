"""From the edit of the image to the first answer of the new version, beside a plain Deployment's rolling update.

    python benchmarks/rollout_latency.py [--rounds 10]

digits, 2 replicas, images on the node, every figure as a client of the Service sees it. Each round upgrades once by
tag, once by digest, and once a plain Deployment with the same pods: no proof, and nothing kept to go back to.

An environment variable makes each round's content new, so that no round finds its version verified or warm already.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import Bench, arguments, bench, kinds, wait_until
from figures import spread, table
from load import Answers, Load

Body = dict[str, Any]
BUDGET = {"by tag": 2.5, "by digest": 1.0}
PLAIN = "plain"


class Round:
    """One change under a light load: seconds to the first answer of a new version, and to the last of an old one."""

    def __init__(self, bench: Bench, service: str, change: Callable[[], None]) -> None:
        with Load.from_here(bench.url(service), bench.request(), clients=4, rate=200) as load:
            load.wait(lambda answers: len(answers) > 20, 20, "answers before the change")
            old = set(load.answers.versions())
            began = time.time()
            change()
            load.wait(lambda answers: bool(set(answers.versions()) - old), 60, "an answer of the new version")
            new = (set(load.answers.versions()) - old).pop()
            time.sleep(1)
            load.wait(
                lambda answers: set(Answers(answers[-50:]).versions()) == {new}, 60, "only the new version answering"
            )
            answers = load.stop()
        self.first = min(answer.at for answer in answers.of(new)) - began
        self.last = max(answer.at for version in old for answer in answers.of(version)) - began
        self.failed = len(answers.failures)


def topgraft(bench: Bench, image: str, number: str) -> Round:
    """One upgrade; returns when the version before it is gone."""
    measured = Round(bench, "digits", lambda: bench.upgrade(image, {"ROUND": number}))
    bench.wait_ready(kinds.ADAPTER_UPGRADE, "digits", 60)
    wait_until(lambda: len(_pods(bench)) == 2, 90, "the old version's pods are gone")
    return measured


def _pods(bench: Bench) -> list[Body]:
    return bench.api.list(kinds.POD, bench.namespace, "?labelSelector=topgraft.dev/model%3Ddigits")


def make_plain(bench: Bench) -> None:
    """A Deployment and a Service by hand, with the pods that Topgraft made for digits."""
    version = bench.api.get(kinds.MODEL, bench.namespace, "digits")["status"]["servingVersion"]
    made = bench.api.get(kinds.DEPLOYMENT, bench.namespace, version)
    labels = {"app": PLAIN}
    template = {"metadata": {"labels": labels}, "spec": made["spec"]["template"]["spec"]}
    template["spec"].pop("topologySpreadConstraints", None)
    meta = {"name": PLAIN, "namespace": bench.namespace}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    bench.api.create(kinds.DEPLOYMENT, {"metadata": meta, "spec": spec})
    ports = [{"name": "http", "port": 8080}]
    bench.api.create(kinds.SERVICE, {"metadata": meta, "spec": {"selector": labels, "ports": ports}})
    change_plain(bench, bench.image("v1"), "0")
    wait_until(lambda: _complete(bench), 60, "the plain Deployment is ready")


def change_plain(bench: Bench, image: str, number: str) -> None:
    """Edit the image, as `kubectl set image` does."""
    found = bench.api.get(kinds.DEPLOYMENT, bench.namespace, PLAIN)
    container = found["spec"]["template"]["spec"]["containers"][0]
    container["image"] = image
    kept = [item for item in container["env"] if item["name"] not in ("TOPGRAFT_VERSION", "ROUND")]
    container["env"] = [*kept, {"name": "TOPGRAFT_VERSION", "value": f"plain-{number}"}]
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    bench.api.merge(kinds.DEPLOYMENT, bench.namespace, PLAIN, change)


def _complete(bench: Bench) -> bool:
    found = bench.api.get(kinds.DEPLOYMENT, bench.namespace, PLAIN)
    status = found["status"]
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    counts = [status.get(name) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    return bool(current and counts == [2, 2, 2])


def plain(bench: Bench, image: str, number: str) -> Round:
    measured = Round(bench, PLAIN, lambda: change_plain(bench, image, number))
    wait_until(lambda: _complete(bench), 60, "the plain Deployment is complete")
    return measured


def digest(bench: Bench, tag: str) -> str:
    """The image by digest, as the preflight of an upgrade to it found it."""
    version = bench.api.get(kinds.MODEL, bench.namespace, "digits")["status"]["servingVersion"]
    status = bench.api.get(kinds.MODEL_VERSION, bench.namespace, version)["status"]
    return f"{bench.image(tag)}@{status['adapter']['imageDigest'].rpartition('@')[2]}"


def measure(bench: Bench, rounds: int) -> dict[str, list[Round]]:
    """All rounds, the kinds of change taking turns."""
    bench.digits(bake=1, standby=0)
    make_plain(bench)
    topgraft(bench, bench.image("v2"), "warm-up")  # also brings the image to the node
    plain(bench, bench.image("v2"), "warm-up")
    by_digest = digest(bench, "v2")
    measured: dict[str, list[Round]] = {"by tag": [], "by digest": [], PLAIN: []}
    for number in range(rounds):
        measured["by tag"].append(topgraft(bench, bench.image("v2"), f"tag-{number}"))
        measured["by digest"].append(topgraft(bench, by_digest, f"digest-{number}"))
        measured[PLAIN].append(plain(bench, bench.image("v2"), f"{number}"))
    return measured


def main() -> int:
    options = arguments(__doc__ or "", rounds=10)
    with bench("rollout", adapters=("v1", "v2")) as place, place.operator():
        measured = measure(place, options.rounds)
    base = statistics.median(item.first for item in measured[PLAIN])
    rows, within = [], True
    for name, items in measured.items():
        first = statistics.median(item.first for item in items)
        last = statistics.median(item.last for item in items)
        more = first - base
        within &= more <= BUDGET.get(name, 0)
        budget = f"{BUDGET[name]:.1f}" if name in BUDGET else ""
        rows.append((name, first, more, budget, last, sum(item.failed for item in items)))
    print(f"{options.rounds} rounds, seconds from the edit, medians")
    table(("", "first answer of the new", "more", "budget", "last answer of the old", "failed requests"), rows)
    for name, items in measured.items():
        print(f"first answer, {name}: {spread([item.first for item in items])}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
