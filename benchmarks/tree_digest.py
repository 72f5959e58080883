"""The tree digest beside serial `sha256sum`, over the same files in the page cache.

    python benchmarks/tree_digest.py [--mebibytes 2048] [--files 40] [--rounds 7]

The rounds alternate between the two and each pair gives one ratio, so that a change of the machine's load during the
run falls on both. Whole processes are timed, with their start. Far more seconds by the clock than CPU seconds per core
mean that other work ran on the machine.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

BUDGET = 0.35


class Seconds(NamedTuple):
    """What a command took by the clock, and on all processors together."""

    wall: float
    cpu: float


def main() -> int:
    """Print a table; exit status 1 when the median ratio is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=2048)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the files would stay
    with tempfile.TemporaryDirectory(prefix="topgraft-tree-digest-") as folder:
        files = write_files(Path(folder), options.files, options.mebibytes * 2**20 // options.files)
        total = sum(file.stat().st_size for file in files)
        digest = [sys.executable, "-m", "topgraft.checks.tree", "--volume", f"weights={folder}"]
        serial = ["sha256sum", *map(str, files)]
        for command in (serial, digest):  # fills the page cache
            run(command)
        pairs = [(run(serial), run(digest)) for _ in range(options.rounds)]
    print(f"{total / 2**30:.2f} GiB in {len(files)} files, {len(os.sched_getaffinity(0))} cores")
    print("round  sha256sum s (CPU s)  topgraft digest s (CPU s)  ratio")
    for number, (one, other) in enumerate(pairs, 1):
        print(f"{number:5}  {one.wall:10.2f} ({one.cpu:5.2f})  {other.wall:16.2f} ({other.cpu:5.2f})", end="  ")
        print(f"{other.wall / one.wall:5.2f}")
    fastest = min(other.wall for _, other in pairs) / min(one.wall for one, _ in pairs)
    ratio = statistics.median(other.wall / one.wall for one, other in pairs)
    print(f"fastest round of each: ratio {fastest:.2f}")
    print(f"median of the rounds:  ratio {ratio:.2f} (budget {BUDGET})")
    return 0 if ratio <= BUDGET else 1


def write_files(folder: Path, count: int, size: int) -> list[Path]:
    """Write files of random bytes, each of `size` bytes."""
    files = [folder / f"shard-{number:05}.safetensors" for number in range(count)]
    for file in files:
        file.write_bytes(os.urandom(size))
    return files


def run(command: list[str]) -> Seconds:
    """Run a command to its end and return what it took."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Seconds(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
