"""Lines that say what takes its time, and for how long."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, every 30 s that it still goes on, and how long it took."""
    began = time.monotonic()
    done = threading.Event()

    def say(what: str) -> None:
        print(f"  {text}{what}", file=sys.stderr, flush=True)

    def heartbeat() -> None:
        while not done.wait(30):
            say(f" … {time.monotonic() - began:.0f} s so far")

    thread = threading.Thread(target=heartbeat, daemon=True)
    say(" …")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    say(f": done in {time.monotonic() - began:.1f} s")
