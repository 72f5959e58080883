"""What one process does for all that share a test run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

import pytest


def once(factory: pytest.TempPathFactory, name: str, work: Callable[[], None]) -> None:
    """Do it in the first process of the run that comes here; the others wait until it is done."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        work()
        return
    done = factory.getbasetemp().parent / f"{name}.done"
    with done.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            work()
            done.touch()
