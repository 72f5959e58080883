"""`topgraft promote`: print a version of one Model as a version of another, for git or `kubectl apply`."""

from __future__ import annotations

import argparse
import sys

import yaml

from topgraft.governance.promotion import NotPromotable, promoted
from topgraft.rollout.podspec import pinned_image
from topgraft.verbs import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="the ModelVersion")
    add = parser.add_argument
    add("--to", required=True, metavar="MODEL", help="the Model that it is to be a version of, in the same namespace")
    add("--name", metavar="NAME", help="name of the new ModelVersion; default: MODEL-VERSION")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        version = await to.version(options.version)
        adapter = version.status.adapter
        image = pinned_image(version, (adapter.image_digest if adapter else None) or "")
        name = options.name or f"{options.to}-{options.version}"
        if len(name) > 63:
            raise session.Mistaken(f"{name!r} is longer than 63 characters: give --name")
        try:
            body = promoted(version, options.to, name, image)
        except NotPromotable as refused:
            raise session.Mistaken(str(refused)) from None
        sys.stdout.write(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))
        return 0

    return session.run(options, work)
