"""A second look at an unchanged volume: `topgraft digest` with what is known of it, beside the full read.

    python benchmarks/quick_digest.py [--gibibytes 10] [--files 200] [--rounds 5] [--folder DIRECTORY]

The files hold real bytes, on the file system of DIRECTORY (default: that of the temporary files), and are deleted at
the end. Whole processes are timed, with their start, as a preflight pod runs them. The quick walk reads no file, so it
takes the same with a cold page cache but for the directories; `--drop-caches` (root) shows that.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUDGET_SECONDS = 5.0
CHUNK = 64 * 2**20


def main() -> int:
    """Print the seconds of each; exit status 1 when the slowest quick look is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gibibytes", type=float, default=10)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--drop-caches", action="store_true")
    options = parser.parse_args()
    size = int(options.gibibytes * 2**30) // options.files
    if shutil.disk_usage(options.folder or tempfile.gettempdir()).free < 1.2 * size * options.files:
        parser.error("not enough free space: choose another --folder or fewer --gibibytes")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the files would stay
    with tempfile.TemporaryDirectory(prefix="topgraft-quick-digest-", dir=options.folder) as folder:
        write_files(Path(folder), options.files, size)
        time.sleep(2.5)  # what changed just now is not trusted
        command = [sys.executable, "-m", "topgraft.cli", "digest", "--volume", f"weights={folder}"]
        full, seconds = run(command)
        print(f"{full['bytes'] / 2**30:.1f} GiB in {full['files']} files, {len(os.sched_getaffinity(0))} cores")
        print(f"full read:  {seconds:8.2f} s")
        known = ["--known-stat", str(full["statDigest"]), "--known-digest", str(full["digest"])]
        times = []
        for _ in range(options.rounds):
            if options.drop_caches:
                os.sync()
                Path("/proc/sys/vm/drop_caches").write_text("3")
            answer, seconds = run([*command, *known])
            if not answer.get("quick") or answer["digest"] != full["digest"]:
                sys.exit(f"the files were read again: {answer}")
            times.append(seconds)
    print(f"quick look: {statistics.median(times):8.2f} s (median of {len(times)}),", end=" ")
    print(f"slowest {max(times):.2f} s (budget {BUDGET_SECONDS:g} s)")
    return 0 if max(times) <= BUDGET_SECONDS else 1


def write_files(folder: Path, count: int, size: int) -> None:
    """Files of the given size each; the bytes differ from file to file, so that none is like another."""
    block = os.urandom(min(CHUNK, size))
    for number in range(count):
        with open(folder / f"shard-{number:05}.safetensors", "wb") as file:
            file.write(number.to_bytes(8, "big"))
            left = size - 8
            while left > 0:
                left -= file.write(block[:left])


def run(command: list[str]) -> tuple[dict[str, object], float]:
    """The command's answer, and what it took by the clock."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
