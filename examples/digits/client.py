"""Send one handwritten digit to a served model and print the answer.

    python client.py [URL] [NUMBER]

URL is where the model's Service answers (default http://127.0.0.1:8080), NUMBER a line of samples.json (default 0, a
digit that v1 gets wrong).
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

SAMPLES = Path(__file__).with_name("samples.json")
SHADES = " .:-=+*%@"


def ask(url: str, pixels: list[int]) -> dict:
    """The model's answer to one image of 8 × 8 pixels."""
    image = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": pixels}
    body = json.dumps({"inputs": [image]}).encode()
    request = urllib.request.Request(
        f"{url}/v2/models/digits/infer", body, {"Content-Type": "application/json", "Connection": "close"}
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def main() -> int:
    """Show the digit, ask, print; returns 0 when the answer is right."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    sample = json.loads(SAMPLES.read_text())[int(sys.argv[2]) if len(sys.argv) > 2 else 0]
    for row in range(0, 64, 8):
        print("  " + "".join(SHADES[ink // 2] * 2 for ink in sample["pixels"][row : row + 8]))
    try:
        answer = ask(url.rstrip("/"), sample["pixels"])
    except urllib.error.HTTPError as error:
        print(f"{error.code}: {error.read().decode()}")
        return 1
    except OSError as error:
        print(f"No answer from {url}: {error}")
        return 1
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    digit, label = outputs["digit"][0], sample["label"]
    verdict = "right" if digit == label else f"wrong, it is {label}"
    print(f"{answer['model_version']} reads {digit} ({outputs['probability'][digit]:.0%} sure): {verdict}")
    return 0 if digit == label else 1


if __name__ == "__main__":
    sys.exit(main())
