"""The messages of the Open Inference Protocol's gRPC service, as its published proto numbers them.

They are made in a descriptor pool of their own: an adapter that stands in front of another server may import that
server's stubs, which register the same names, in the same process.

Source: github.com/kserve/open-inference-protocol, specification/protocol/open_inference_grpc.proto (package inference).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_TENSOR = "string name 1, string datatype 2, int64* shape 3, map parameters 4, .InferTensorContents contents 5"

# `type* name number` is a repeated field; `map` is map<string, InferParameter>; `.X` is the message X.
MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready 1",
    "ModelReadyRequest": "string name 1, string version 2",
    "ModelReadyResponse": "bool ready 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name 1, string version 2, string* extensions 3",
    "ModelMetadataRequest": "string name 1, string version 2",
    "ModelMetadataResponse": "string name 1, string* versions 2, string platform 3, "
    ".ModelMetadataResponse.TensorMetadata* inputs 4, .ModelMetadataResponse.TensorMetadata* outputs 5",
    "ModelMetadataResponse.TensorMetadata": "string name 1, string datatype 2, int64* shape 3",
    "ModelInferRequest": "string model_name 1, string model_version 2, string id 3, map parameters 4, "
    ".ModelInferRequest.InferInputTensor* inputs 5, .ModelInferRequest.InferRequestedOutputTensor* outputs 6, "
    "bytes* raw_input_contents 7",
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "string name 1, map parameters 2",
    "ModelInferResponse": "string model_name 1, string model_version 2, string id 3, map parameters 4, "
    ".ModelInferResponse.InferOutputTensor* outputs 5, bytes* raw_output_contents 6",
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "InferParameter": "bool bool_param 1, int64 int64_param 2, string string_param 3, double double_param 4, "
    "uint64 uint64_param 5",
    "InferTensorContents": "bool* bool_contents 1, int32* int_contents 2, int64* int64_contents 3, "
    "uint32* uint_contents 4, uint64* uint64_contents 5, float* fp32_contents 6, double* fp64_contents 7, "
    "bytes* bytes_contents 8",
}

_ONE_OF = {"InferParameter": "parameter_choice"}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference_grpc.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in MESSAGES.items():
        outer, _, inner = name.partition(".")
        message = made[outer].nested_type.add(name=inner) if inner else file.message_type.add(name=outer)
        made[name] = message
        if name in _ONE_OF:
            message.oneof_decl.add(name=_ONE_OF[name])
        for text in filter(None, fields.split(", ")):
            _add_field(message, f".{PACKAGE}.{name}", text, name in _ONE_OF)
    return file


def _add_field(message: Any, own: str, text: str, one_of: bool) -> None:
    kind, name, number = text.split(" ")
    field = message.field.add(name=name, number=int(number))
    repeated = kind.endswith("*") or kind == "map"
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind == "map":
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, own, "string key 1", False)
        _add_field(entry, own, ".InferParameter value 2", False)
        field.type, field.type_name = field.TYPE_MESSAGE, f"{own}.{entry.name}"
    elif kind.startswith("."):
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    if one_of:
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"{PACKAGE}.{name}")) for name in MESSAGES}


CLASSES = _classes()
"""The message classes by name."""
