"""`topgraft patch-version`: merge, overwrite or remove what can be changed in a ModelVersion."""

from __future__ import annotations

import argparse
import sys
from typing import Any, get_args

import yaml

from topgraft.cluster.kinds import MODEL_VERSION
from topgraft.governance.patching import Action
from topgraft.governance.versionpatch import PatchRefused, merge_patch, patched
from topgraft.verbs import session

MAX_BYTES = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the Model")
    parser.add_argument("version", help="the ModelVersion")
    add = parser.add_argument
    add("--action", choices=get_args(Action), default="merge", help="what the file does to the spec; default: merge")
    add("--file", "-f", required=True, metavar="FILE", help="fields of the spec as YAML or JSON; -: standard input")
    add("--dry-run", action="store_true", help="print the fields as they would be, and write nothing")
    session.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    async def work(to: session.Session) -> int:
        patch = _read(options.file)
        live = await to.client.get(MODEL_VERSION, to.namespace, options.version)
        spec, model = live["spec"], live["spec"]["modelRef"]["name"]
        if model != options.model:
            raise session.Mistaken(f"ModelVersion {options.version!r} is one of Model {model!r}, not {options.model!r}")
        try:
            wanted = patched(spec, patch, options.action)
        except PatchRefused as refused:
            raise session.Mistaken(str(refused)) from None
        change = merge_patch(spec, wanted)
        if options.dry_run:
            shown = {name: wanted.get(name) for name in change}
            sys.stdout.write(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True) if shown else "")
        elif change:
            # With the version that was read: what another one changed meanwhile is not overwritten.
            meta = {"resourceVersion": live["metadata"]["resourceVersion"]}
            await to.merge(MODEL_VERSION, options.version, {"metadata": meta, "spec": change})
        done = "unchanged" if not change else "would be patched" if options.dry_run else "patched"
        fields = f" ({', '.join(sorted(change))})" if change else ""
        sys.stderr.write(f"modelversion/{options.version} {done}{fields}\n")
        return 0

    return session.run(options, work)


def _read(path: str) -> dict[str, Any]:
    """The patch. A whole object with a spec is taken for its spec. Raises Mistaken."""
    try:
        if path == "-":
            text = sys.stdin.read(MAX_BYTES + 1)
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise session.Mistaken(f"{path} is longer than {MAX_BYTES} bytes: no ModelVersion can be that long")
        read = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise session.Mistaken(f"cannot read {path}: {error}") from None
    if isinstance(read, dict) and isinstance(read.get("spec"), dict):
        read = read["spec"]
    if not isinstance(read, dict) or not all(isinstance(name, str) for name in read):
        raise session.Mistaken(f"{path} must hold an object with fields of a ModelVersion's spec")
    return read
