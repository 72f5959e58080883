"""The tree digest beside serial `sha256sum`, over the same files in the page cache.

    python benchmarks/tree_digest.py [--mebibytes 2048] [--files 40] [--rounds 7]

The rounds alternate between the two and each pair gives one ratio, so that a change of the machine's load during the
run falls on both. Whole processes are timed, with their start.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUDGET = 0.35


def main() -> int:
    """Print a table; exit status 1 when the median ratio is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=2048)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="topgraft-tree-digest-") as folder:
        files = write_files(Path(folder), options.files, options.mebibytes * 2**20 // options.files)
        total = sum(file.stat().st_size for file in files)
        digest = [sys.executable, "-m", "topgraft.checks.tree", "--volume", f"weights={folder}"]
        serial = ["sha256sum", *map(str, files)]
        for command in (serial, digest):  # fills the page cache
            seconds(command)
        pairs = [(seconds(serial), seconds(digest)) for _ in range(options.rounds)]
    print(f"{total / 2**30:.2f} GiB in {len(files)} files, {len(os.sched_getaffinity(0))} cores")
    print("round  sha256sum s  topgraft digest s  ratio")
    for number, (one, other) in enumerate(pairs, 1):
        print(f"{number:5}  {one:11.2f}  {other:17.2f}  {other / one:5.2f}")
    ratio = statistics.median(other / one for one, other in pairs)
    print(f"median ratio {ratio:.2f} (budget {BUDGET})")
    return 0 if ratio <= BUDGET else 1


def write_files(folder: Path, count: int, size: int) -> list[Path]:
    """Write files of random bytes, each of `size` bytes."""
    files = [folder / f"shard-{number:05}.safetensors" for number in range(count)]
    for file in files:
        file.write_bytes(os.urandom(size))
    return files


def seconds(command: list[str]) -> float:
    """Run a command to its end and return how long it took."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=300)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
