"""Ask a served encoder which of two texts answers a question, and print what it finds.

    python client.py [URL]

URL is where the model's Service answers (default http://127.0.0.1:8080). Adapter v1 finds the wrong text.
"""

import json
import sys
import urllib.error
import urllib.request

QUESTION = "How do I get a new password?"
ANSWER = (
    "I forgot the secret word that lets me into my account, and the page keeps telling me that it is wrong; what must "
    "I do, and whom must I ask, so that I can choose another one and log in again as I did before the holidays?"
)
"""Says the same in many words."""
OTHER = "The shop opens at nine."
"""As short as the question, and about something else."""


def embed(url: str, *texts: str, model: str = "minilm") -> tuple[str, list[list[float]]]:
    """The version that answered, and a vector of length 1 for each text."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Content-Type": "application/json", "Connection": "close"}
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", body, headers)
    with urllib.request.urlopen(request, timeout=60) as said:
        answer = json.load(said)
    flat, width = answer["outputs"][0]["data"], answer["outputs"][0]["shape"][1]
    return answer["model_version"], [flat[start : start + width] for start in range(0, len(flat), width)]


def likeness(one: list[float], other: list[float]) -> float:
    """The cosine of the angle between two vectors of length 1: 1 for texts that say the same."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def main() -> int:
    """Ask, print; returns 0 when the right text was found."""
    url = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080").rstrip("/")
    try:
        version, (question, answer, other) = embed(url, QUESTION, ANSWER, OTHER)
    except urllib.error.HTTPError as error:
        print(f"{error.code}: {error.read().decode()}")
        return 1
    except OSError as error:
        print(f"No answer from {url}: {error}")
        return 1
    right, wrong = likeness(question, answer), likeness(question, other)
    print(f"{QUESTION}\n  {right:5.2f}  {ANSWER}\n  {wrong:5.2f}  {OTHER}")
    print(f"{version} finds the {'first: right' if right > wrong else 'second: wrong'}")
    return 0 if right > wrong else 1


if __name__ == "__main__":
    sys.exit(main())
