"""`topgraft versions`: the versions that somebody with a given visibility may see."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from topgraft.api.model import Model, Visibility
from topgraft.api.modelversion import ModelVersion
from topgraft.cluster.kinds import MODEL
from topgraft.governance.visibility import effective, sees
from topgraft.verbs import session

HEAD = ("MODEL", "VERSION", "VISIBILITY", "SERVING", "DESCRIPTION")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="the Model; default: all of the namespace")
    allowed = "list what a caller of this level sees: Private sees all, Org sees Org and Public; default: Private"
    parser.add_argument("--gettable", choices=get_args(Visibility), default="Private", help=allowed)
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        models = [await to.model(options.model)] if options.model else await _models(to)
        rows: list[tuple[str, ...]] = [HEAD]
        for model in models:
            found = await to.versions(model.metadata.name)
            newest = sorted(
                found.values(), key=lambda v: (v.metadata.creation_timestamp, v.metadata.name), reverse=True
            )
            rows += [_row(model, version) for version in newest if sees(options.gettable, _level(model, version))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        for row in rows:
            line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(f"{line.rstrip()}\n")
        return 0

    return session.run(options, work)


async def _models(to: session.Session) -> list[Model]:
    return [Model.model_validate(one) async for page, _ in to.client.pages(MODEL, to.namespace) for one in page]


def _level(model: Model, version: ModelVersion) -> Visibility:
    return effective(model.spec.visibility, version.spec.visibility)


def _row(model: Model, version: ModelVersion) -> tuple[str, ...]:
    serves = "yes" if version.metadata.name == model.status.serving_version else ""
    level, spec = _level(model, version), version.spec
    # One line for each version and nothing that a terminal obeys, whatever people wrote.
    words = "".join(c for c in " ".join((spec.description or "").split()) if c.isprintable())
    return model.metadata.name, version.metadata.name, level, serves, words
