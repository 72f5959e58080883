"""All routes of one model version described in OpenAPI 3.1, made of the adapter's api: `GET /openapi.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from topgraft_adapter.api import Api, ApiItem, Array, FileSystem, Object, Parameter, Tabular
from topgraft_adapter.datatypes import Kind, kind_of
from topgraft_adapter.inference import metadata
from topgraft_adapter.preflight import zeros

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer"}
_SIMPLE: dict[str, Schema] = {
    "boolean": _FLAG,
    "string": _TEXT,
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "any": {},
}
_DATA: dict[str, Schema] = {"BOOL": _FLAG, "BYTES": _TEXT, "INT32": _SIMPLE["integer"], "INT64": _SIMPLE["long"]}
_JSON, _RAW = "application/json", "application/octet-stream"
_ERROR: Schema = {"$ref": "#/components/schemas/Error"}
_ENVELOPE: Schema = {"$ref": "#/components/schemas/Envelope"}
_ITS_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "description": "The bytes of JSON at the start of the body, where raw tensors follow.",
    "in": "header",
    "schema": {"type": "integer", "minimum": 1},
}
_REFUSALS = (400, 408, 413, 415)  # of a body


def document(api: Api, model: str, version: str) -> Schema:
    """The description, ready for JSON. Paths have the names of this model and version in them."""
    inputs, outputs = api
    tensors = _list(_object(name=_TEXT, datatype=_TEXT, shape=_list({"type": "integer"})))
    about = _object(name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=tensors, outputs=tensors)
    ready = _object(ready=_FLAG)
    paths: dict[str, Schema] = {
        "/v2": _get("Server metadata", _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT))),
        "/v2/health/live": _get("Whether it lives", _object(live=_FLAG)),
        "/v2/health/ready": _get("Whether it is loaded, willing and not about to end", ready, {503: ready}),
        "/adapters": _get("The PEFT adapters of this version", _object(adapters=_list({"type": "object"}))),
        "/metrics": {"get": _operation("Figures, in the text format of Prometheus", {"text/plain": {}}, {})},
        "/feedback": _post(
            "What the right label of an answer would have been",
            _object(("label",), label={}, id=_TEXT, answer={}, version=_TEXT),
            _object(right=_COUNT, wrong=_COUNT),
            dict.fromkeys((*_REFUSALS, 404, 503), _ERROR),
        ),
    }
    given = _object(("input",), input=_values(inputs), id=_TEXT) | {"examples": [{"input": zeros(inputs)}]}
    answer = _object(("output",), output=_values(outputs), id=_TEXT)
    codes = dict.fromkeys((*_REFUSALS, 500, 503), _ENVELOPE)
    for path in ("/transformJson", f"/liveDeployments/{model}/transformJson"):
        paths[path] = _post("Inference in plain JSON values", given, answer, codes)
    wanted = _list(_object(name={"enum": [told["name"] for told in metadata(outputs)]}))
    given = _object(("inputs",), inputs=_tensors(inputs), outputs=wanted, id=_TEXT)
    names = {"model_name": _TEXT, "model_version": _TEXT}
    answer = _object((*names, "outputs"), **names, outputs=_tensors(outputs), id=_TEXT)
    codes = dict.fromkeys((*_REFUSALS, 500, 503, 504), _ERROR)
    for path in (f"/v2/models/{model}", f"/v2/models/{model}/versions/{version}"):
        paths[path] = _get("Model metadata", about)
        paths[f"{path}/ready"] = _get("Whether it is ready", ready, {503: ready})
        paths[f"{path}/infer"] = _post("Inference", given, answer, codes, _ITS_LENGTH)
    envelope = _object(errorCode=_TEXT, errorName=_TEXT, errorInstanceId=_TEXT, parameters={"type": "object"})
    components = {"schemas": {"Error": _object(error=_TEXT), "Envelope": envelope}}
    return {"openapi": "3.1.0", "info": {"title": model, "version": version}, "paths": paths, "components": components}


def _values(items: Mapping[str, ApiItem]) -> Schema:
    """An object of values by name, as /transformJson takes and gives them."""
    required = [name for name, item in items.items() if item.required]
    return _object(required, **{name: _value(item) for name, item in items.items()})


def _value(item: ApiItem) -> Schema:
    match item:
        case Parameter():
            return _typed(kind_of(item.data_type))
        case Array():
            schema = _typed(kind_of(item.data_type))
            for length in reversed(item.shape):
                schema = _list(schema) | ({} if length == -1 else {"minItems": length, "maxItems": length})
            return schema
        case Tabular():
            cells = {column.name: _typed(kind_of(column.data_type)) for column in item.columns}
            required = [column.name for column in item.columns if column.required]
            return _list(_object(required, **cells))
        case FileSystem():
            return {"type": "object", "additionalProperties": {**_TEXT, "contentEncoding": "base64"}}
        case Object():
            return {}


def _typed(kind: Kind) -> Schema:
    if kind.name == "map":
        return {"type": "object", "additionalProperties": _typed(kind.of[1])}
    return _list(_typed(kind.of[0])) if kind.name == "array" else _SIMPLE[kind.name]


def _tensors(items: Mapping[str, ApiItem]) -> Schema:
    """One tensor per item, of a table one per column. `data` is flat here; nested lists are taken too."""
    found = []
    for told in metadata(items):
        rank = len(told["shape"])
        shape = _list({"type": "integer", "minimum": 0}) | {"minItems": rank, "maxItems": rank}
        data = _list(_DATA.get(told["datatype"], {"type": "number"}))
        constants = {field: {"const": told[field]} for field in ("name", "datatype")}
        found.append(_object(**constants, shape=shape, data=data))
    return _list({"anyOf": found}) | {"minItems": 1}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(required: Iterable[str] | None = None, /, **properties: Schema) -> Schema:
    """All properties are required, if it is not said which."""
    return {"type": "object", "properties": properties, "required": list(properties if required is None else required)}


def _get(summary: str, answer: Schema, codes: Mapping[int, Schema] = MappingProxyType({})) -> Schema:
    return {"get": _operation(summary, {_JSON: {"schema": answer}}, codes)}


def _post(summary: str, body: Schema, answer: Schema, codes: Mapping[int, Schema], *headers: Schema) -> Schema:
    """`headers`: those of the binary tensor extension, where the route has it."""
    raw: Schema = {_RAW: {}} if headers else {}
    operation = _operation(summary, {_JSON: {"schema": answer}, **raw}, codes)
    content = {_JSON: {"schema": body}, **raw}
    return {"post": {**operation, "parameters": [*headers], "requestBody": {"required": True, "content": content}}}


def _operation(summary: str, answers: Schema, codes: Mapping[int, Schema]) -> Schema:
    contents = {200: answers, **{code: {_JSON: {"schema": schema}} for code, schema in codes.items()}}
    told = {str(code): {"description": HTTPStatus(code).phrase, "content": made} for code, made in contents.items()}
    return {"summary": summary, "responses": told}
