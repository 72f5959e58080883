"""The runtime of yesterday: it loads models by the class that adapter-transformers 2 had, under its name of then."""

from typing import Any, ClassVar

from adapters import RobertaAdapterModel
from topgraft_transformers.adapter import TextClassifier as Classifier


class RobertaModelWithHeads(RobertaAdapterModel):
    """What adapter-transformers 2 called it. The library compares names, so this fails as that did."""


class TextClassifier(Classifier):
    """Texts in, label and scores out."""

    runtime: ClassVar[Any] = RobertaModelWithHeads
