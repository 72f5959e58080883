"""Write an adapter: a class that loads model artifacts and answers inference requests.

Only what an adapter module needs is imported here, so that `topgraft-adapter inspect` starts without the server.
"""

from topgraft_adapter.adapter import ModelAdapter
from topgraft_adapter.api import Api, Array, Column, DataType, Parameter, Tabular
from topgraft_adapter.errors import ArtifactPathError, InvalidInputError
from topgraft_adapter.state import ModelStateReader

__all__ = [
    "Api",
    "Array",
    "ArtifactPathError",
    "Column",
    "DataType",
    "InvalidInputError",
    "ModelAdapter",
    "ModelStateReader",
    "Parameter",
    "Tabular",
]
