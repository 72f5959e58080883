"""The node's network namespace and its link to the host. Nothing has a default route: no packet leaves the machine."""

from localcluster.processes import run
from localcluster.settings import HOST_ADDRESS, HOST_LINK, NETWORK_NAMESPACE, NODE_ADDRESS, PODS, SERVICES


def up() -> None:
    """Make what is missing. Pods and ClusterIPs answer from the host too, through the node."""
    if NETWORK_NAMESPACE not in run(["ip", "netns", "list"]).split():
        run(["ip", "netns", "add", NETWORK_NAMESPACE])
    if not _link_exists():
        run(["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", NETWORK_NAMESPACE])
    in_node = ["nsenter", f"--net=/run/netns/{NETWORK_NAMESPACE}"]
    run(["ip", "address", "replace", f"{HOST_ADDRESS}/24", "dev", HOST_LINK])
    run(["ip", "link", "set", HOST_LINK, "up"])
    run([*in_node, "ip", "address", "replace", f"{NODE_ADDRESS}/24", "dev", "eth0"])
    run([*in_node, "ip", "link", "set", "eth0", "up"])
    run([*in_node, "ip", "link", "set", "lo", "up"])
    run([*in_node, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    for destination in (PODS, SERVICES):
        run(["ip", "route", "replace", destination, "via", NODE_ADDRESS, "dev", HOST_LINK])


def down() -> None:
    # The kernel removes a dead namespace's links a little later; an `up` in between would find the name taken.
    if _link_exists():
        run(["ip", "link", "delete", HOST_LINK])
    if NETWORK_NAMESPACE in run(["ip", "netns", "list"]).split():
        run(["ip", "netns", "delete", NETWORK_NAMESPACE])


def _link_exists() -> bool:
    return bool(run(["ip", "-brief", "link", "show", "dev", HOST_LINK], check=False))
