"""What a gRPC server takes at once, in this process."""

import asyncio
from types import SimpleNamespace

import grpc
import pytest

from topgraft_adapter import service as service_module
from topgraft_adapter import v2grpc
from topgraft_adapter.errors import InvalidInputError
from topgraft_adapter.grpcserver import GrpcServer
from topgraft_adapter.open_inference import CLASSES
from topgraft_adapter.service import ModelService
from topgraft_adapter.settings import Settings

REQUEST = CLASSES["ModelInferRequest"]


def a_server(**more):
    given = {"artifact_dir": None, "model": "m", "version": "m-1", "port": 1, "max_connection_age": 5, "drain": 2}
    service = ModelService(SimpleNamespace(api=({}, {})), Settings(**given, **more))
    service.able = lambda: True
    service._target = SimpleNamespace(model="m", version="m-1", api=({}, {}))
    return service, GrpcServer(service)


class Context:
    async def abort(self, code, text):
        raise grpc.RpcError(code.name, text)


def a_refusal(body):
    """The service that refused, its code and its text."""

    async def ask():
        service, server = a_server()
        with pytest.raises(grpc.RpcError) as raised:
            await server.model_infer(body, Context())
        return service, *raised.value.args

    return asyncio.run(ask())


def test_bytes_are_held_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr(service_module, "MAX_BUFFERED_BYTES", 10)
    monkeypatch.setattr(v2grpc, "CLASSES", {})
    _, code, text = a_refusal(b"\x0a\x09123456789")
    assert code == "RESOURCE_EXHAUSTED"
    assert "memory for bodies" in text


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (REQUEST(model_name="other").SerializeToString(), "NOT_FOUND", "no model 'other'"),
        (REQUEST(model_name="m", model_version="9").SerializeToString(), "NOT_FOUND", "no version '9'"),
        (b"\x0a\x09123", "INVALID_ARGUMENT", "no ModelInferRequest"),
        (b"\xff", "INVALID_ARGUMENT", "no ModelInferRequest"),
        (b"\x0b\x0c" + b"\x2a\x00" * 50_000, "INVALID_ARGUMENT", "no ModelInferRequest"),
        (b"\x2a\x00" * 50_000, "INVALID_ARGUMENT", "more than 30000 fields"),
    ],
)
def test_what_is_refused(body, code, text):
    service, got, said = a_refusal(body)
    assert got == code
    assert text in said
    assert f'code="{404 if code == "NOT_FOUND" else 400}"'.encode() in service.metrics.text()


def test_every_kind_of_field_is_passed_over():
    body = b"\xf8\x07\xff\x01" + b"\xf9\x07" + b"\0" * 8 + b"\xfd\x07" + b"\0" * 4
    request = REQUEST(model_name="m", inputs=[{"name": "x" * 200}])
    assert v2grpc.parsed(body + request.SerializeToString()).inputs == request.inputs
    with pytest.raises(InvalidInputError):
        v2grpc.parsed(body + b"\x80" * 11)


def test_calls_at_once_have_a_limit(monkeypatch):
    given = {}
    made = SimpleNamespace(add_generic_rpc_handlers=lambda _handlers: None)
    monkeypatch.setattr(grpc.aio, "server", lambda **named: given.update(named) or made)

    async def make():
        a_server(max_concurrency=7)

    asyncio.run(make())
    assert given["maximum_concurrent_rpcs"] == 7 + 16
    assert ("grpc.max_concurrent_streams", 7 + 16) in given["options"]
