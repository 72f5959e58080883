"""The protocol as clients see it that nobody here wrote: tritonclient over HTTP and over gRPC."""

import json
import socket
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from conftest import WAIT, Server, make_artifacts
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from topgraft_adapter.open_inference import CLASSES, MESSAGES


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Served:
    def __init__(self, directory, adapter):
        self.grpc_port = free_port()
        self.server = Server(f"adapters:{adapter}", make_artifacts(directory), TOPGRAFT_GRPC_PORT=str(self.grpc_port))
        self.server.wait()
        self.http = over_http.InferenceServerClient(f"127.0.0.1:{self.server.port}", concurrency=2)
        self.grpc = over_grpc.InferenceServerClient(f"127.0.0.1:{self.grpc_port}")

    def close(self):
        self.http.close()
        self.grpc.close()
        self.server.process.kill()
        self.server.process.wait(WAIT)


@pytest.fixture(scope="module")
def moody(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("moody"), "Moody")
    yield served
    served.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("table"), "Table")
    yield served
    served.close()


def test_the_messages_are_those_of_the_published_stubs():
    """Field for field: numbers, types, labels, map entries, the one-of."""

    def shape(descriptor):
        return {
            field.name: (
                field.number,
                field.type,
                field.is_repeated if hasattr(field, "is_repeated") else field.label,
                field.message_type.full_name if field.message_type else None,
                field.containing_oneof.name if field.containing_oneof else None,
            )
            for field in descriptor.fields
        }

    def published(name):
        found = service_pb2.DESCRIPTOR.message_types_by_name[name.split(".")[0]]
        return found.nested_types_by_name[name.split(".")[1]] if "." in name else found

    for name in MESSAGES:
        ours, theirs = shape(CLASSES[name].DESCRIPTOR), shape(published(name))
        assert ours.items() <= theirs.items(), name
        # What Triton's stubs have beyond the protocol has no business here.
        assert len(theirs) - len(ours) <= (2 if name == "ModelReadyRequest" else 1), name


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_health_and_metadata(table, kind):
    client = getattr(table, kind)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scale")
    assert client.is_model_ready("scale", "scale-1")
    more = {"as_json": True} if kind == "grpc" else {}
    server = client.get_server_metadata(**more)
    assert server["name"] == "topgraft-adapter"
    for version in ("", "scale-1"):
        model = client.get_model_metadata("scale", version, **more)
        assert (model["name"], model["versions"]) == ("scale", ["scale-1"])
        shapes = {tensor["name"]: [int(length) for length in tensor["shape"]] for tensor in model["inputs"]}
        assert shapes == {
            "people.name": [-1],
            "people.age": [-1],
            "people.height": [-1],
            "shout": [1],
            "suffix": [1],
        }


def people(module, binary=None):
    values = [
        ("people.name", np.array(["ada", "grüße"], dtype=object), "BYTES"),
        ("people.age", np.array([30.9, 7], dtype=np.float64), "FP64"),
        ("shout", np.array([True]), "BOOL"),
    ]
    made = []
    for name, value, datatype in values:
        tensor = module.InferInput(name, list(value.shape), datatype)
        tensor.set_data_from_numpy(value, **({} if binary is None else {"binary_data": binary}))
        made.append(tensor)
    return made


@pytest.mark.parametrize(("kind", "binary"), [("http", True), ("http", False), ("grpc", None)])
def test_infer_in_every_form(table, kind, binary):
    module = {"http": over_http, "grpc": over_grpc}[kind]
    client = getattr(table, kind)
    answer = client.infer("scale", people(module, binary), model_version="scale-1", request_id="a-7")
    said = answer.get_response() if kind == "http" else answer.get_response(as_json=True)
    assert (said["id"], said["model_name"], said["model_version"]) == ("a-7", "scale", "scale-1")
    assert [bytes(text) for text in answer.as_numpy("greetings.text")] == [b"ADA", "GRÜSSE".encode()]
    assert answer.as_numpy("greetings.age").tolist() == [30, 7]
    assert answer.as_numpy("count").tolist() == [2]
    more = {} if binary is None else {"binary_data": binary}
    only = client.infer("scale", people(module, binary), outputs=[module.InferRequestedOutput("count", **more)])
    assert only.as_numpy("count").tolist() == [2]
    assert only.as_numpy("greetings.age") is None


def test_calls_at_once(table):
    pending = [table.http.async_infer("scale", people(over_http)) for _ in range(20)]
    assert all(one.get_result().as_numpy("count").tolist() == [2] for one in pending)


def row(module, mood, datatype="FP32", shape=(1, 4)):
    tensor = module.InferInput("x", list(shape), datatype)
    tensor.set_data_from_numpy(np.full(shape, mood, {"FP32": np.float32, "INT64": np.int64}[datatype]))
    return [tensor]


@pytest.mark.parametrize(
    ("mood", "status", "text"),
    [
        (1, "INTERNAL", "predict() raised RuntimeError"),
        (2, "INVALID_ARGUMENT", "This row makes no sense."),
        (3, "INTERNAL", "has shape [1, 5]"),
        (float("nan"), "INVALID_ARGUMENT", "NaN"),
    ],
)
def test_errors_have_the_protocols_shape(moody, mood, status, text):
    with pytest.raises(InferenceServerException) as raised:
        moody.grpc.infer("scale", row(over_grpc, mood))
    assert raised.value.status() == f"StatusCode.{status}"
    assert text in raised.value.message()
    with pytest.raises(InferenceServerException) as raised:
        moody.http.infer("scale", row(over_http, mood))
    assert raised.value.status() == ("400" if status == "INVALID_ARGUMENT" else "500")
    assert text in raised.value.message()


@pytest.mark.parametrize(("kind", "module"), [("http", over_http), ("grpc", over_grpc)])
def test_what_is_not_there(moody, kind, module):
    client = getattr(moody, kind)
    for name, version in (("other", ""), ("scale", "9")):
        with pytest.raises(InferenceServerException):
            client.infer(name, row(module, 0), model_version=version)
        with pytest.raises(InferenceServerException):
            client.get_model_metadata(name, version)
    with pytest.raises(InferenceServerException, match=r"needs \[-1, 4\]"):
        client.infer("scale", row(module, 0, shape=(1, 3)))
    with pytest.raises(InferenceServerException, match="no 'z'"):
        client.infer("scale", row(module, 0), outputs=[module.InferRequestedOutput("z")])
    assert client.infer("scale", row(module, 0, "INT64")).as_numpy("y").tolist() == [[0, 0, 0, 0]]


def test_typed_contents_over_grpc(moody):
    request = CLASSES["ModelInferRequest"](model_name="scale", id="t")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([0, 1, 2, 3])
    answer = raw_call(moody, request)
    assert list(answer.outputs[0].contents.fp32_contents) == [0, 1, 2, 3]
    assert not answer.raw_output_contents
    assert answer.id == "t"


def raw_call(served, request):
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=CLASSES["ModelInferRequest"].SerializeToString,
            response_deserializer=CLASSES["ModelInferResponse"].FromString,
        )
        return call(request, timeout=10)


def test_both_protocols_count_in_the_figures(moody):
    def answered():
        lines = moody.server.text("/metrics").splitlines()
        found = [line for line in lines if line.startswith('topgraft_adapter_requests_total{code="200"')]
        return float(found[0].split()[-1]) if found else 0

    before = answered()
    moody.grpc.infer("scale", row(over_grpc, 0))
    moody.http.infer("scale", row(over_http, 0))
    assert answered() == before + 2


def test_an_adapter_may_import_another_servers_stubs_before():
    program = "import tritonclient.grpc, topgraft_adapter.open_inference, tritonclient.grpc.service_pb2"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_a_grpc_port_in_use_ends_the_process(tmp_path, moody):
    server = Server("adapters:Scale", make_artifacts(tmp_path), TOPGRAFT_GRPC_PORT=str(moody.grpc_port))
    assert server.ended() == 2
    assert json.loads(server.termination_log.read_text())["error"]["reason"] == "PortUnavailable"


def test_grpc_requests_that_run_are_finished(tmp_path):
    served = Served(tmp_path, "SlowPredict")
    tensor = over_grpc.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[3, 0, 0, 0]], dtype=np.float32))
    got = []
    served.grpc.async_infer("scale", [tensor], callback=lambda result, error: got.append(error))
    time.sleep(0.7)
    served.server.terminate()
    assert served.server.ended() == 0
    served.close()
    assert got == [None]
