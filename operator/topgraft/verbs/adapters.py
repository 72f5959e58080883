"""`topgraft adapters`: the metadata of a version's PEFT adapters, all twelve fields."""

from __future__ import annotations

import argparse
import json
import sys

from topgraft.governance.peft import metadata
from topgraft.verbs import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    parser.add_argument("--version", metavar="NAME", help="the ModelVersion; default: what serves")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        name = options.version or (await to.model(options.model)).status.serving_version
        if name is None:
            raise session.Mistaken(f"nothing serves Model {options.model!r}: name the version by --version")
        version = await to.version(name)
        if version.spec.model_ref.name != options.model:
            raise session.Mistaken(f"Model {options.model!r} has no ModelVersion {name!r}")
        made = [metadata(to.namespace, options.model, one) for one in version.spec.artifact.adapters]
        sys.stdout.write(f"{json.dumps({'adapters': made}, indent=2, ensure_ascii=False)}\n")
        return 0

    return session.run(options, work)
