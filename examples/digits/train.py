"""Train the classifier and write weights.npz and samples.json.

    pip install scikit-learn && python train.py

The data are the 1,797 handwritten digits that scikit-learn carries (8 × 8 pixels, ink from 0 to 16). A quarter of them
is held back; the samples come from that quarter. The seed is fixed: the same library versions on the same kind of
machine give the same files.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
FULL_INK = 16
SEED = 0


def main() -> None:
    """Train, report the accuracy on the held-back digits, write the files."""
    pixels, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    model = MLPClassifier(hidden_layer_sizes=(32,), alpha=1e-2, max_iter=600, random_state=SEED)
    model.fit(train / FULL_INK, train_labels)
    right = model.predict(test / FULL_INK) == test_labels
    right_unscaled = model.predict(test) == test_labels
    accuracy, unscaled = right.mean(), right_unscaled.mean()
    print(f"accuracy on {len(test)} held-back digits: {accuracy:.3f}; unscaled, as v1 does: {unscaled:.3f}")

    (hidden, output), (hidden_bias, output_bias) = model.coefs_, model.intercepts_
    np.savez(
        HERE / "weights.npz",
        hidden=hidden.astype(np.float32),
        hidden_bias=hidden_bias.astype(np.float32),
        output=output.astype(np.float32),
        output_bias=output_bias.astype(np.float32),
    )
    told_apart = np.flatnonzero(right & ~right_unscaled)[:5]
    plain = [np.flatnonzero(right & right_unscaled & (test_labels == digit))[0] for digit in range(10)]
    samples = [
        {"label": int(test_labels[row]), "v1Right": bool(right_unscaled[row]), "pixels": test[row].astype(int).tolist()}
        for row in [*told_apart, *plain]
    ]
    lines = ",\n".join(json.dumps(sample) for sample in samples)
    (HERE / "samples.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
