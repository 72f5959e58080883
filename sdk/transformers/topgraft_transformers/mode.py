"""What a ModelVersion may ask of its head."""

from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["Auto", "Require", "Off"]
