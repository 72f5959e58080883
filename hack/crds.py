#!/usr/bin/env python3
"""Write crds/ and docs/api.md from the API models; with --check only say whether they are current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from topgraft.api.crd import KINDS, custom_resource_definition
from topgraft.api.meta import GROUP
from topgraft.api.reference import reference

ROOT = Path(__file__).resolve().parent.parent
MARK = "# Made from operator/topgraft/api by hack/crds.py; do not edit.\n"


class Dumper(yaml.SafeDumper):
    """Plain YAML: no anchors, which Helm and many readers handle badly."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def outputs() -> dict[Path, str]:
    """Every generated file with its text."""
    files = {
        ROOT / "crds" / f"{GROUP}_{kind.plural}.yaml": MARK
        + yaml.dump(custom_resource_definition(kind), Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
        for kind in KINDS
    }
    return files | {ROOT / "docs" / "api.md": reference()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not current")
    check = parser.parse_args().check
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not current: run {Path(__file__).relative_to(ROOT)}", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(outputs()[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
