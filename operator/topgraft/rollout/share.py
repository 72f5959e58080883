"""Shares of pods: what stands for a percentage of the requests where every pod gets as many as any other."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """Pods of the version that serves and of the one that comes."""

    stable: int
    candidate: int

    @property
    def percent(self) -> int:
        """What the candidate really gets, rounded."""
        return round(100 * self.candidate / max(1, self.stable + self.candidate))


def share(replicas: int, weight: int) -> Share:
    """Pods for `weight` percent (1 to 99) of the requests to the candidate, rounded up in its favour.

    Invariants: there are never fewer than `replicas` pods in all, and each version has at least one. Up to one half
    the stable version keeps its full size; from there on the candidate has it.
    """
    if weight <= 50:
        return Share(max(1, replicas), max(1, _ceil(replicas * weight, 100 - weight)))
    return Share(max(1, replicas * (100 - weight) // weight), max(1, replicas))


def routed_share(replicas: int, weight: int) -> Share:
    """Pods for `weight` percent of the requests where a route weighs them: the stable version keeps its full size."""
    return Share(max(1, replicas), max(1, _ceil(replicas * weight, 100)))


def surge(replicas: int) -> int:
    """Pods that Rolling may have beyond `replicas`: a quarter, rounded up."""
    return max(1, _ceil(replicas, 4))


def rolled(replicas: int, ready: int, old: int) -> Share:
    """The next sizes of Rolling: `ready` pods of the candidate are, `old` pods of the stable version still exist.

    Invariants: what is ready and what still serves make `replicas`, and no more than the surge exists beyond that. The
    last old pod stays until the Service has left it.
    """
    stable = max(1, replicas - ready)
    return Share(stable, max(1, min(replicas, replicas + surge(replicas) - max(stable, old))))


def _ceil(value: int, by: int) -> int:
    return -(-value // by)
