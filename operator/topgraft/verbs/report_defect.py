"""`topgraft report-defect`: tell of a defect in a version; P0 makes the operator leave it."""

from __future__ import annotations

import argparse
import sys

from topgraft.cluster.kinds import MODEL
from topgraft.rollout.defect import ORDERS_ROLLBACK, report_defect
from topgraft.verbs import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    parser.add_argument("--id", required=True, help="the defect's name in the bug tracker, such as BUG-1234")
    levels = [f"P{level}" for level in range(10)]
    parser.add_argument(
        "--severity",
        default=ORDERS_ROLLBACK,
        choices=levels,
        metavar="P0…P9",
        help="P0 (leave the version) to P9 (record); default P0",
    )
    parser.add_argument("--version", metavar="NAME", help="the ModelVersion; default: what serves")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        # The version is always named: what serves may be another one by the time that the operator reads the report.
        about = options.version or (await to.model(options.model)).status.serving_version
        if about is None:
            raise session.Mistaken(f"nothing serves Model {options.model!r}: name the version by --version")
        if options.version and options.version not in await to.versions(options.model):
            raise session.Mistaken(f"Model {options.model!r} has no ModelVersion {options.version!r}")
        try:
            patch = report_defect(options.id, options.severity, about)
        except ValueError as wrong:
            raise session.Mistaken(str(wrong)) from None
        await to.merge(MODEL, options.model, patch)
        consequence = "it is left" if options.severity == ORDERS_ROLLBACK else "it is recorded"
        sys.stdout.write(f"{options.severity} {options.id} reported against {about}: {consequence}\n")
        return 0

    return session.run(options, work)
