"""The runtime of today: every model class of the library, every head that it can convert."""

from topgraft_transformers.adapter import TextClassifier as Classifier


class TextClassifier(Classifier):
    """Texts in, label and scores out."""
