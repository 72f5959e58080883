"""The command line.

Exit codes: 0 done; 1 the class does not keep the contract, or it or the artifacts cannot be read; 2 wrong arguments or
settings; 3 load() failed; 4 the sample was not answered; 5 a check of `test` failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from topgraft_adapter import logs, termination
from topgraft_adapter.errors import FatalError
from topgraft_adapter.version import VERSION


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except FatalError as error:
        result = termination.error(error.reason, str(error))
        termination.leave(result)
        print(termination.encode(result), file=sys.stdout if options.command == "inspect" else sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    """Each command imports its own part: a rollout waits for `inspect` and `serve` to start."""
    match options.command:
        case "inspect":
            from topgraft_adapter.inspection import inspect_image  # noqa: PLC0415

            return _told(inspect_image(), leave=True)
        case "preflight":
            from topgraft_adapter.preflight import preflight  # noqa: PLC0415

            return _told(preflight(options.sample))
        case "test":
            from topgraft_adapter.selftest import run  # noqa: PLC0415

            return run(options.sample)
        case "init":
            from topgraft_adapter.scaffold import init  # noqa: PLC0415

            print("\n".join(str(path) for path in init(options.directory)))
            return 0
    logs.set_up()
    from topgraft_adapter.server import serve  # noqa: PLC0415

    return serve(options.host)


def _told(found: dict[str, Any], leave: bool = False) -> int:
    if leave:
        termination.leave(found)
    print(termination.encode(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="topgraft-adapter", description="Write, test and serve a model adapter.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="load the model and answer inference requests")
    serve.add_argument("--host", help="address to listen on (default: every address)")
    commands.add_parser("inspect", help="print the adapter's class, api and requirements as JSON")
    sampled = "a JSON file that /transformJson would take (default: zeros)"
    preflight = commands.add_parser("preflight", help="load the artifacts and answer one sample")
    preflight.add_argument("--sample", type=Path, help=sampled)
    test = commands.add_parser("test", help="ask of a server process what a cluster will ask of it")
    test.add_argument("--sample", type=Path, help=sampled)
    init = commands.add_parser("init", help="write a new adapter project")
    init.add_argument("directory", type=Path, help="a new directory; its name becomes the model's")
    return parser
