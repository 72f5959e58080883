"""`topgraft info`: the infos of the version that serves, by the names that readers of the old place know."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from pydantic.alias_generators import to_camel

from topgraft.cluster.kinds import MODEL, MODEL_VERSION
from topgraft.verbs import session

INFOS = ("outputInfo", "inputInfo", "trainInfo", "importInfo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    field = "a field, such as model.model_version.output_info.output_config; default: all infos"
    parser.add_argument("field", nargs="?", default="", help=field)
    parser.add_argument("--version", metavar="NAME", help="the ModelVersion; default: what serves")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        path, old = place(options.field)
        live = await to.client.get(MODEL, to.namespace, options.model)
        name = options.version or (live.get("status") or {}).get("servingVersion")
        if old:
            raise session.Mistaken(moved(path, name))
        if name is None:
            raise session.Mistaken(f"nothing serves Model {options.model!r}: name a version by --version")
        spec = (await to.client.get(MODEL_VERSION, to.namespace, name))["spec"]
        if spec["modelRef"]["name"] != options.model:
            raise session.Mistaken(f"Model {options.model!r} has no ModelVersion {name!r}")
        found: Any = {info: spec[info] for info in INFOS if info in spec}
        for part in path:
            if not isinstance(found, dict) or part not in found:
                raise session.Mistaken(f"ModelVersion {name!r} has no {options.field!r}")
            found = found[part]
        sys.stdout.write(f"{json.dumps(found, indent=2, ensure_ascii=False)}\n")
        return 0

    return session.run(options, work)


def place(field: str) -> tuple[list[str], bool]:
    """The path below a version's spec, and whether it was asked for in the old place, on the Model itself."""
    parts = [part for part in field.split(".") if part]
    rooted = parts[:1] == ["model"]
    parts = parts[1:] if rooted else parts
    of_version = parts[:1] in (["model_version"], ["modelVersion"])
    parts = parts[1:] if of_version else parts
    path = [to_camel(part) if "_" in part else part for part in parts]
    old = not of_version and path[:1] != [] and path[0] in INFOS and (rooted or parts[0] != path[0])
    return path, old


def moved(path: list[str], version: str | None) -> str:
    """What a reader of the old place is told: the infos stand on the version now."""
    old = ".".join(re.sub("([A-Z])", r"_\1", name).lower() for name in path)
    where = f"ModelVersion {version!r}" if version else "the ModelVersion"
    return f"model.{old} has moved: read model.model_version.{old}, which is spec.{'.'.join(path)} of {where}"
