"""The node: containerd, kubelet and kube-proxy in a network namespace of their own."""

import contextlib
import json
import os
import shutil
from pathlib import Path

from localcluster.control_plane import wait
from localcluster.processes import Process, in_network_namespaces, kill, run
from localcluster.settings import (
    HOST_ADDRESS,
    MACHINE,
    NETWORK_NAMESPACE,
    NODE,
    NODE_ADDRESS,
    PODS,
    REGISTRY_PORT,
    ClusterError,
    Settings,
)

_STATE = MACHINE / "containerd"
_SOCKET = _STATE / "containerd.sock"
_NODE_PODS = "198.19.0.0/24"

# `restrict_oom_score_adj`: root may lack CAP_SYS_RESOURCE. `netns_mounts_under_state_dir`: the pods' network
# namespaces are then told from those of another containerd on this machine.
_CONTAINERD = """\
version = 3
root = "{node}/containerd"
state = "{state}"
oom_score = 0
[grpc]
  address = "{socket}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '{runc}'
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
    conf_dir = '{node}/cni'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'registry.local/pause:1'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '{node}/certs.d'
"""

# The whole machine is the node's: no quality-of-service cgroups, no eviction for a full disk, no image collection.
_KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {pki}/ca.crt}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxPods: 200
containerRuntimeEndpoint: unix://{socket}
resolvConf: ""
podCIDR: {pods}
evictionHard: {{imagefs.available: "0%", nodefs.available: "0%", memory.available: "50Mi"}}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
volumePluginDir: {node}/kubelet/plugins
podLogsDir: {node}/pod-logs
"""


def start(at: Settings) -> None:
    """Start the node's daemons; returns when the node is Ready."""
    _write_configuration(at)
    _weigh_pods()
    node = at.run / "node"
    containerd = Process(at, "containerd")
    command: list[str | Path] = [at.bin / "containerd", "-c", node / "containerd.toml"]
    containerd.start(command, network_namespace=NETWORK_NAMESPACE, path=str(at.bin))  # it looks its shim up there
    wait(_SOCKET.exists, 30, "containerd does not listen", [containerd])
    kubelet = Process(at, "kubelet")
    kubelet.start(
        [
            at.bin / "kubelet",
            f"--config={node}/kubelet.yaml",
            f"--kubeconfig={at.run}/kubelet.conf",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={node}/kubelet",
        ],
        network_namespace=NETWORK_NAMESPACE,
    )
    proxy = Process(at, "kube-proxy")
    proxy.start(
        [
            at.bin / "kube-proxy",
            f"--kubeconfig={at.run}/proxy.conf",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
        network_namespace=NETWORK_NAMESPACE,
    )
    wait(lambda: _is_ready(at), 90, f"node {NODE} is not Ready", [kubelet, containerd, proxy])


def _is_ready(at: Settings) -> bool:
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    command: list[str | Path] = [at.bin / "kubectl", f"--kubeconfig={at.kubeconfig}", "--request-timeout=5s"]
    return run([*command, "get", "node", NODE, "-o", f"jsonpath={path}"], check=False) == "True"


def _weigh_pods() -> None:
    """Give all pods together the weight of the machine's processors and not, as by default, that of one process.

    The kubelet would do so, but here it makes no groups of its own. Version 2 of control groups needs it less: there
    each session on the machine is one group, too.
    """
    group = Path("/sys/fs/cgroup/cpu/k8s.io")
    if (group.parent / "cpu.shares").exists():
        with contextlib.suppress(OSError):  # in a container the groups may be read-only
            group.mkdir(exist_ok=True)
            (group / "cpu.shares").write_text(str(1024 * (os.cpu_count() or 1)))


def _write_configuration(at: Settings) -> None:
    node = at.run / "node"
    certificates = node / "certs.d/registry.local"
    for directory in (node / "cni", node / "kubelet", certificates, _STATE):
        directory.mkdir(parents=True, exist_ok=True)
    names = {"node": node, "state": _STATE, "socket": _SOCKET, "pki": at.pki, "pods": _NODE_PODS}
    (node / "containerd.toml").write_text(_CONTAINERD.format(runc=shutil.which("runc"), **names))
    (node / "kubelet.yaml").write_text(_KUBELET.format(**names))
    registry = f"http://{HOST_ADDRESS}:{REGISTRY_PORT}"
    (certificates / "hosts.toml").write_text(
        f'server = "{registry}"\n[host."{registry}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(node / "addresses"),
            "ranges": [[{"subnet": _NODE_PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    network = {"cniVersion": "1.0.0", "name": "pod", "plugins": plugins}
    (node / "cni/10-pod.conflist").write_text(json.dumps(network))


def clear(at: Settings) -> None:
    """End every process of the node, containers of a run that was aborted included, and release its mounts."""
    namespaces = [Path("/run/netns") / NETWORK_NAMESPACE, *_STATE.glob("*/netns/*")]
    for _ in range(20):  # a process may start another one while we look
        if not kill(in_network_namespaces(namespaces), 10):
            break
    _remove_cgroups()
    unmount_below(at.run / "node", MACHINE)


def _remove_cgroups() -> None:
    for container in _STATE.glob("io.containerd.runtime.v2.task/k8s.io/*"):
        for group in Path("/sys/fs/cgroup").glob(f"*/k8s.io/{container.name}"):
            with contextlib.suppress(OSError):  # an empty group that stays does no harm
                group.rmdir()


def mounts_below(*directories: Path) -> list[Path]:
    """Mount points in these directories, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if any(point.is_relative_to(directory) for directory in directories):
            found.append(point)
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_below(*directories: Path) -> None:
    for point in mounts_below(*directories):
        run(["umount", "--lazy", point], check=False)
    if left := mounts_below(*directories):
        # Deleting the directory would reach through the mount into a volume's files.
        raise ClusterError(f"still mounted: {left[0]}. Run `umount {left[0]}` and try again")
