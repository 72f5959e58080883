"""Write an adapter: a class that loads model artifacts and answers inference requests.

Only what an adapter module needs is imported here, so that `topgraft-adapter inspect` starts without the server.
"""

from topgraft_adapter.adapter import ModelAdapter, publish
from topgraft_adapter.api import Api, Array, Column, FileSystem, Object, Parameter, Tabular
from topgraft_adapter.context import (
    ContainerContext,
    ExternalModel,
    ExternalModelContext,
    peft_adapters,
)
from topgraft_adapter.datatypes import DataType
from topgraft_adapter.errors import ArtifactPathError, InvalidInputError
from topgraft_adapter.serialization import (
    DillSerializer,
    JsonSerializer,
    NumpySerializer,
    PickleSerializer,
    Serializer,
    auto_serialize,
)
from topgraft_adapter.state import ModelStateReader, ModelStateWriter

__all__ = [
    "Api",
    "Array",
    "ArtifactPathError",
    "Column",
    "ContainerContext",
    "DataType",
    "DillSerializer",
    "ExternalModel",
    "ExternalModelContext",
    "FileSystem",
    "InvalidInputError",
    "JsonSerializer",
    "ModelAdapter",
    "ModelStateReader",
    "ModelStateWriter",
    "NumpySerializer",
    "Object",
    "Parameter",
    "PickleSerializer",
    "Serializer",
    "Tabular",
    "auto_serialize",
    "peft_adapters",
    "publish",
]
