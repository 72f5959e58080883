"""`topgraft diff`: what differs between two versions of a Model."""

from __future__ import annotations

import argparse
import sys

from topgraft.governance.difference import differences
from topgraft.verbs import session
from topgraft.verbs.naming import version_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    parser.add_argument("old", help="a version, or an alias such as test_baseline or previous")
    parser.add_argument("new", nargs="?", default="serving", help="another one; default: serving")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        model, versions = await to.model(options.model), await to.versions(options.model)
        old, new = (version_named(name, model, versions) for name in (options.old, options.new))
        found = differences(old, new)
        sys.stdout.write(f"{old.metadata.name} → {new.metadata.name}\n")
        sys.stdout.write("".join(f"  {one}\n" for one in found) or "  no difference\n")
        if not any(one.part == "artifact" for one in found):
            sys.stdout.write("  artifact: the same bytes\n" if old.status.artifact else "  artifact: never read\n")
        return 0

    return session.run(options, work)
