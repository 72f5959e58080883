"""Write artifact.yaml, the ConfigMap that holds weights.npz; with --check, only say whether it is current."""

import base64
import sys
from pathlib import Path

HERE = Path(__file__).parent

TEMPLATE = """\
# Made by artifact.py from weights.npz. Immutable: other weights need another name, and a ModelVersion of their own.
apiVersion: v1
kind: ConfigMap
metadata:
  name: digits-weights-1
immutable: true
binaryData:
  weights.npz: "{content}"
"""


def render() -> str:
    """The manifest for the weights as they are."""
    encoded = base64.b64encode((HERE / "weights.npz").read_bytes()).decode()
    lines = (encoded[at : at + 112] for at in range(0, len(encoded), 112))
    # A backslash joins the lines without a space: the value is what `kubectl get` gives back, so that a diff is empty.
    return TEMPLATE.format(content="\\\n    ".join(lines))


def main() -> int:
    """Write or check the manifest; returns the exit code."""
    manifest = HERE / "artifact.yaml"
    if sys.argv[1:] == ["--check"]:
        current = manifest.exists() and manifest.read_text() == render()
        print("artifact.yaml is current" if current else "artifact.yaml is not current: run artifact.py")
        return 0 if current else 1
    manifest.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
