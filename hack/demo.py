"""What Topgraft is for, shown on real pods: install by Helm, one upgrade and one automatic rollback under load.

Prints what happened with figures; fails when one of them is not as promised. CLUSTER says where (see cluster.py).
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cluster
import images
import yaml
from load import Answers, Load
from localcluster.processes import run
from localcluster.settings import ClusterError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "digits"
# Names of its own: an operator that the cluster has already, and its namespace, are not touched.
RELEASE, SYSTEM, NAMESPACE = "topgraft-demo", "topgraft-demo-system", "topgraft-demo"
# Shorter than the defaults (60 s and 600 s), so that the demo shows the end of a rollout too.
ROLLBACK = {"bakeSeconds": 15, "standbySeconds": 20}
RATE, CLIENTS = 400, 8
# Seconds. kube-proxy follows within its minSyncPeriod of 1 s and what a busy machine adds; an adapter server closes a
# kept-alive connection with its next answer after 5.
FOLLOWED, CONNECTION_AGE = 2, 6
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Story:
    """Lines with the time since the beginning, and the promises that were kept or not."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.broken: list[str] = []

    def chapter(self, text: str) -> None:
        print(f"\n[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)

    def tell(self, text: str) -> None:
        print(f"          {text}", flush=True)

    def promise(self, kept: bool, text: str) -> None:
        self.tell(f"{'ok  ' if kept else 'MISS'} {text}")
        if not kept:
            self.broken.append(text)


class PodWatch:
    """When each version was first seen to have lost its last ready pod, as the API server tells it."""

    def __init__(self, kubectl: list[str]) -> None:
        self.lost: dict[str, float] = {}  # version -> seconds since the epoch
        line = r"{.metadata.labels.topgraft\.dev/version} {.metadata.name} "
        line += r'{.status.conditions[?(@.type=="Ready")].status}{"\n"}'
        self._process = subprocess.Popen(
            [*kubectl, "get", "pods", "-l", "topgraft.dev/role=serving", "--watch", "-o", f"jsonpath={line}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        ready: dict[str, set[str]] = defaultdict(set)
        for line in self._process.stdout:
            version, pod, status = [*line.split(), ""][:3]
            if status == "True":
                ready[version].add(pod)
            elif pod in ready[version]:
                ready[version].discard(pod)
                if not ready[version]:
                    self.lost.setdefault(version, time.time())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(5)


class Demo:
    def __init__(self, target: cluster.Cluster, story: Story) -> None:
        self.cluster, self.story = target, story
        self.environment = f"--kubeconfig={target.kubeconfig()}"
        self.kubectl_command = [cluster.kubectl(), self.environment, "--namespace", NAMESPACE]

    def kubectl(self, *arguments: str, body: object = None, seconds: float = 60) -> str:
        text = "" if body is None else json.dumps(body)
        return run([*self.kubectl_command, *arguments], text=text, seconds=seconds)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))

    def apply(self, *bodies: object) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": bodies}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", body=items)

    def wait(self, what: str, condition: str, seconds: float) -> None:
        limit = f"--timeout={seconds:g}s"
        self.kubectl("wait", what, f"--for=condition={condition}", limit, seconds=seconds + 10)

    # --- the chapters

    def install(self) -> None:
        self.story.chapter("Install the operator by Helm")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        for name in (SYSTEM, NAMESPACE):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        image = f"{self.cluster.registry}/{images.OPERATOR.name}"
        repository, _, tag = image.rpartition(":")
        settings = {"image.repository": repository, "image.tag": tag, "fullnameOverride": RELEASE}
        settings["watchNamespaces"] = f"{{{NAMESPACE}}}"
        if self.cluster.name == "local":
            settings["image.pullPolicy"] = "Always"  # the tag moves with the work tree
        elif self.kubectl("get", "crd", "models.topgraft.dev", "--ignore-not-found"):
            settings["crds.enabled"] = "false"  # they belong to somebody's installation
        command = [cluster.helm(), self.environment, "upgrade", "--install", RELEASE, str(ROOT / "charts/topgraft")]
        options = ["--namespace", SYSTEM, "--take-ownership", "--wait", "--timeout=180s"]
        run([*command, *options, *(f"--set={name}={value}" for name, value in settings.items())], seconds=200)
        self.story.tell(f"{image} runs in {SYSTEM} and looks after {NAMESPACE}, both under Pod Security `restricted`")

    def first_version(self) -> None:
        self.story.chapter("Apply examples/digits: the weights, the Model, its first version (adapter image v1)")
        for file in ("artifact.yaml", "model.yaml"):
            self.apply(*yaml.safe_load_all(self._example(file)))
        self.wait("model/digits", "Ready", 120)
        self.story.tell(f"{self._serving()} serves")

    def upgrade(self) -> None:
        self.story.chapter(f"Upgrade v1 -> v2 under load: {CLIENTS} clients, half kept-alive, {RATE} requests/s")
        old = self._serving()
        with self._load() as load:
            load.wait(lambda answers: answers.versions()[old] >= 5000, 180, f"5,000 answers of {old}")
            self._set_image("v2")
            applied = time.time()
            self.wait("adapterupgrade/digits", "Ready", 120)
            upgrade = self.get("adapterupgrade", "digits")
            new = upgrade["status"]["toVersion"]
            self.story.tell(f"{old} -> {new}: {self._message('Ready')}")
            self._wait_until_gone(old)
            load.wait(lambda answers: len(answers) >= 20000 and answers.versions()[new] >= 5000, 300, "20,000 answers")
            answers = load.stop()
        self._tell_upgrade(answers, old, new, applied, upgrade)

    def rollback(self) -> None:
        self.story.chapter("Upgrade v2 -> v3: it answers for 10 s, then 503 on everything, in a living process")
        good = self._serving()
        watch = PodWatch(self.kubectl_command)
        with self._load() as load:
            load.wait(lambda answers: answers.versions()[good] >= 1000, 180, f"answers of {good}")
            self._set_image("v3")
            self.wait("adapterupgrade/digits", "RolledBack", 180)
            upgrade = self.get("adapterupgrade", "digits")
            bad = upgrade["status"]["toVersion"]
            self._wait_until_gone(bad)
            seen = len(load.answers)
            load.wait(lambda answers: len(answers) >= seen + 2000, 180, "answers after the rollback")
            answers = load.stop()
        watch.stop()
        self._tell_rollback(answers, good, bad, watch.lost.get(bad, float("nan")))

    def remove(self) -> None:
        """Take away what a demo makes, one that was broken off included."""
        uninstall = ["uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found", "--wait", "--timeout=60s"]
        run([cluster.helm(), self.environment, *uninstall], seconds=90)
        spaces = ["namespace", NAMESPACE, SYSTEM]
        self.kubectl("delete", *spaces, "--ignore-not-found", "--timeout=120s", seconds=130)

    # --- the figures

    def _tell_upgrade(self, answers: Answers, old: str, new: str, applied: float, upgrade: dict[str, Any]) -> None:
        story, versions = self.story, answers.versions()
        first_new, last_old = answers.of(new)[0].at, answers.of(old)[-1].at
        switched = datetime.fromisoformat(upgrade["status"]["switchTime"]).timestamp()
        enough = len(answers) >= 20000 and min(versions[old], versions[new]) >= 5000
        story.tell(f"apply -> first answer of the new version: {first_new - applied:.1f} s")
        story.promise(enough, f"{len(answers):,} requests: {versions[old]:,} answered by v1, {versions[new]:,} by v2")
        story.promise(not answers.failures, f"{len(answers.failures)} failed{self._errors(answers)}")
        story.promise(
            last_old - switched <= CONNECTION_AGE, f"last answer of v1 {last_old - switched:.1f} s after the switch"
        )
        artifact = upgrade["status"]["artifact"]
        same = artifact["before"] == artifact["after"]
        story.promise(
            same, f"artifact digest before {artifact['before']}\n{'':15}artifact digest after  {artifact['after']}"
        )
        label = str(json.loads((EXAMPLE / "samples.json").read_text())[0]["label"])
        wrong, right = ({answer.value for answer in answers.of(version)} for version in (old, new))
        kept = label not in wrong and right == {label}
        story.promise(
            kept, f"the digit {label}: v1 read {', '.join(sorted(wrong))}, v2 reads {', '.join(sorted(right))}"
        )
        story.tell(
            f"latency: median {answers.percentile(50) * 1000:.0f} ms, p99 {answers.percentile(99) * 1000:.0f} ms"
        )

    def _tell_rollback(self, answers: Answers, good: str, bad: str, noticed: float) -> None:
        story, versions = self.story, answers.versions()
        # A failed answer names no version; those of the stretch in which the new version was reachable are its own.
        before, after = answers.failures.between(0, noticed), answers.failures.between(noticed)
        refused = sum(count for error, count in answers.errors().items() if "refused" in error)
        story.promise(self._status("RolledBack") == "True", f"RolledBack: {self._message('RolledBack')}")
        story.promise(self._serving() == good, f"{self._serving()} serves again")
        story.tell(f"{len(answers):,} requests: {versions[good]:,} answered by v2, {versions[bad]:,} by v3")
        story.tell(f"{len(before)} failed before the readiness probes noticed{self._errors(before)}")
        last = f", the last {after[-1].at - noticed:.2f} s after" if after else ""
        story.tell(f"{len(after)} failed until the data plane had followed{last}{self._errors(after)}")
        story.promise(refused == 0, f"{refused} refused")
        late = Answers(answer for answer in answers.between(noticed + FOLLOWED) if not answer.kept)
        wrong = len(late) - late.versions()[good]
        story.promise(
            not wrong, f"{len(late):,} new connections later than {FOLLOWED} s after: {wrong} not answered by v2"
        )
        kept = Answers(answer for answer in answers.between(noticed + CONNECTION_AGE) if answer.kept)
        wrong = len(kept) - kept.versions()[good]
        story.promise(
            not wrong, f"{len(kept):,} kept-alive ones later than {CONNECTION_AGE} s: {wrong} not answered by v2"
        )

    @staticmethod
    def _errors(answers: Answers) -> str:
        return "".join(f"; {count} × {error}" for error, count in answers.errors().items())

    # --- the means

    @contextlib.contextmanager
    def _load(self) -> Iterator[Load]:
        """The load as a pod: a ClusterIP answers inside any cluster, from this machine only on the local one."""
        address = self.get("service", "digits")["spec"]["clusterIP"]
        sample = json.loads((EXAMPLE / "samples.json").read_text())[0]
        tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": sample["pixels"]}
        files = {"load.py": (ROOT / "hack/load.py").read_text(), "request.json": json.dumps({"inputs": [tensor]})}
        command = ["python3", "-u", "/load/load.py", f"--url=http://{address}:8080/v2/models/digits/infer"]
        command += ["--body=/load/request.json", "--output=digit", f"--clients={CLIENTS}", f"--rate={RATE}"]
        container = {
            "name": "load",
            "image": f"{self.cluster.registry}/{images.OPERATOR.name}",
            "command": command,
            "securityContext": _RESTRICTED,
            "volumeMounts": [{"name": "load", "mountPath": "/load"}],
        }
        volumes = [{"name": "load", "configMap": {"name": "load"}}]
        spec: dict[str, Any] = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
        spec |= {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 10}
        self.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "load"}, "data": files},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load"}, "spec": spec},
        )
        try:
            self.wait("pod/load", "Ready", 60)
            with Load([*self.kubectl_command, "logs", "--follow", "load"]) as load:
                yield load
        finally:
            self.kubectl("delete", "pod", "load", "--timeout=60s", seconds=70)

    def _set_image(self, tag: str) -> None:
        body = yaml.safe_load(self._example("upgrade.yaml"))
        body["spec"]["adapter"]["image"] = f"{self.cluster.registry}/digits:{tag}"
        body["spec"]["rollback"] = ROLLBACK
        self.apply(body)
        # `kubectl wait` must not be answered by the verdict on the former image.
        generation = self.get("adapterupgrade", "digits")["metadata"]["generation"]
        self.kubectl(
            "wait",
            "adapterupgrade/digits",
            f"--for=jsonpath={{.status.observedGeneration}}={generation}",
            "--timeout=30s",
        )

    def _example(self, file: str) -> str:
        return (EXAMPLE / file).read_text().replace("registry.local/", f"{self.cluster.registry}/")

    def _wait_until_gone(self, version: str) -> None:
        """Until no pod of the version is left, its standby included."""
        selector = f"topgraft.dev/version={version},topgraft.dev/role=serving"
        with contextlib.suppress(ClusterError):  # kubectl's answer when there is none to wait for
            self.kubectl("wait", "pod", "-l", selector, "--for=delete", "--timeout=90s", seconds=100)

    def _serving(self) -> str:
        return str(self.get("model", "digits")["status"]["servingVersion"])

    def _condition(self, condition: str) -> dict[str, Any]:
        conditions = self.get("adapterupgrade", "digits")["status"]["conditions"]
        return next((item for item in conditions if item["type"] == condition), {})

    def _status(self, condition: str) -> str:
        return str(self._condition(condition).get("status", "missing"))

    def _message(self, condition: str) -> str:
        found = self._condition(condition)
        return f"{found.get('reason', '?')}: {found.get('message', '')}"


def show(target: cluster.Cluster, story: Story) -> None:
    was_up = target.is_up()
    try:
        story.chapter(f"Cluster ({target.name}) and images")
        target.up(control_plane_only=False)
        builder = images.Builder(target)
        for name in ("topgraft:dev", "digits:v1", "digits:v2", "digits:v3"):
            story.tell(builder.build(images.IMAGES[name]))
        demo = Demo(target, story)
        demo.remove()
        try:
            demo.install()
            demo.first_version()
            demo.upgrade()
            demo.rollback()
        finally:
            story.chapter("Remove it all")
            demo.remove()
    finally:
        if not was_up:
            target.down()


def main() -> int:
    story = Story()
    # A stop from outside must still take down what was started here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        show(cluster.choose(), story)
    except (ClusterError, TimeoutError, RuntimeError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    story.chapter("Not as promised: " + "; ".join(story.broken) if story.broken else "All as promised")
    return 1 if story.broken else 0


if __name__ == "__main__":
    sys.exit(main())
