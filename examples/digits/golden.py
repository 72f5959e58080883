"""Write golden.jsonl: 500 handwritten digits with their labels, as requests that verification replays.

    pip install scikit-learn && python golden.py

They are the quarter of the set that train.py holds back, filled up with digits of the training set.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SEED = 0
"""The one of train.py: it decides what is held back."""
REQUESTS = 500


def main() -> None:
    """Write one request a line."""
    pixels, labels = load_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=0.25, random_state=SEED, stratify=labels)
    lines = []
    for row in [*test, *train][:REQUESTS]:
        data = pixels[row].astype(int).tolist()
        image = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": data}
        request = {"id": f"digit-{row}", "label": int(labels[row]), "body": {"inputs": [image]}}
        lines.append(json.dumps(request, separators=(",", ":")))
    (HERE / "golden.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
