"""The command line."""

from __future__ import annotations

import argparse
import sys

from topgraft_adapter import logs, termination
from topgraft_adapter.errors import FatalError
from topgraft_adapter.version import VERSION


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    # Each command imports its own part: a rollout waits for both to start.
    try:
        if options.command == "inspect":
            from topgraft_adapter.inspection import inspect_image  # noqa: PLC0415

            found = inspect_image()
            termination.leave(found)
            print(termination.encode(found))
            return 0
        logs.set_up()
        from topgraft_adapter.server import serve  # noqa: PLC0415

        return serve(options.host)
    except FatalError as error:
        result = termination.error(error.reason, str(error))
        termination.leave(result)
        print(termination.encode(result), file=sys.stdout if options.command == "inspect" else sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="topgraft-adapter", description="Serve or inspect a model adapter.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="load the model and answer inference requests")
    serve.add_argument("--host", help="address to listen on (default: every address)")
    commands.add_parser("inspect", help="print the adapter's class, api and requirements as JSON")
    return parser
