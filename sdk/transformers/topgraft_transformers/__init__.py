"""Prediction heads of transformer models: static heads become flex heads, or the reason why not is told.

Importing this package takes seconds: it imports torch.
"""

from topgraft_transformers.conversion import Converted, convert_head, load_adapter_head, load_static
from topgraft_transformers.record import (
    HeadConversion,
    HeadConversionIncomplete,
    HeadError,
    HeadUnsupported,
    Result,
)

__all__ = [
    "Converted",
    "HeadConversion",
    "HeadConversionIncomplete",
    "HeadError",
    "HeadUnsupported",
    "Result",
    "convert_head",
    "load_adapter_head",
    "load_static",
]
