"""How an adapter is made: @auto_serialize, containers, an external model."""

import json

import numpy as np
import pytest

from topgraft_adapter import (
    Array,
    ContainerContext,
    ExternalModel,
    ExternalModelContext,
    JsonSerializer,
    ModelAdapter,
    ModelStateReader,
    NumpySerializer,
    auto_serialize,
    peft_adapters,
    publish,
)
from topgraft_adapter.contract import Contract
from topgraft_adapter.errors import FatalError
from topgraft_adapter.loading import load


class Linear(ModelAdapter):
    @auto_serialize(weights=NumpySerializer(), labels=JsonSerializer())
    def __init__(self, weights, labels=("a",)):
        self.weights = weights * 1.0
        self.labels = labels

    @classmethod
    def api(cls):
        return {"x": Array("float", (-1, 2))}, {"y": Array("float", (-1,))}

    def predict(self, x):
        return x @ self.weights


class Pickled(Linear):
    @auto_serialize
    def __init__(self, weights):
        self.weights = weights


def test_arguments_come_back(tmp_path):
    publish(Linear(np.array([1.0, 2.0]), labels=["a", "b"]), tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["labels.json", "weights.npy"]
    again = Linear.load(ModelStateReader(tmp_path / "made"))
    assert again.labels == ["a", "b"]
    assert again.predict(np.array([[1.0, 1.0]])).tolist() == [3.0]
    with pytest.raises(FileExistsError, match="not empty"):
        publish(again, tmp_path / "made")
    publish(Pickled({"any": "object"}), tmp_path / "pickled")
    assert Pickled.load(ModelStateReader(tmp_path / "pickled")).weights == {"any": "object"}


def test_every_argument_needs_a_serializer():
    with pytest.raises(TypeError, match="labels"):

        class Wrong(Linear):
            @auto_serialize(weights=NumpySerializer())
            def __init__(self, weights, labels):
                pass

    with pytest.raises(TypeError, match="has a name"):

        class Variable(Linear):
            @auto_serialize
            def __init__(self, *weights):
                pass


def test_arrays_of_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        publish(Linear(np.array([10**30], dtype=object)), tmp_path / "made")
    np.save(tmp_path / "weights.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(ValueError, match="pickle"):
        Linear.load(ModelStateReader(tmp_path))


class Fronting(Linear):
    def __init__(self, address):
        self.address = address

    @classmethod
    def init_container(cls, container_context: ContainerContext):
        return cls(container_context.services["triton"][0])

    @classmethod
    def init_external(cls, external_model_context: ExternalModelContext):
        key = external_model_context.resolved_credentials["token"]
        return cls(f"{external_model_context.external_model.base_url}?{key}")


def contract(adapter):
    return Contract("m", adapter.__name__, adapter, adapter.api())


def test_containers_and_external_models_reach_the_adapter(monkeypatch, tmp_path):
    with pytest.raises(FatalError, match=r"init_container\(\): the ModelVersion needs spec.artifact.containers"):
        load(contract(Fronting), None)
    told = {"services": {"triton": ["localhost:8000"]}, "sharedEmptyDirMountPath": "/shared"}
    monkeypatch.setenv("TOPGRAFT_CONTAINERS", json.dumps(told))
    assert load(contract(Fronting), None).address == "localhost:8000"
    monkeypatch.delenv("TOPGRAFT_CONTAINERS")
    (tmp_path / "..data").mkdir()
    (tmp_path / "token").write_text("s3cret")
    told = {"baseUrl": "https://models.example", "credentialsDir": str(tmp_path)}
    monkeypatch.setenv("TOPGRAFT_EXTERNAL", json.dumps(told))
    assert load(contract(Fronting), None).address == "https://models.example?s3cret"
    (tmp_path / "token").write_bytes(b"\xff")
    with pytest.raises(FatalError) as raised:
        load(contract(Fronting), None)
    assert raised.value.reason == "CredentialsUnreadable"


def test_a_load_of_the_old_form_is_given_what_it_has_arguments_for(monkeypatch, tmp_path):
    class Some(Linear):
        @classmethod
        def load(cls, state_reader, container_context=None):
            assert container_context.shared_empty_dir_mount_path == "/shared"
            return cls(np.ones(2))

    told = {"services": {}, "sharedEmptyDirMountPath": "/shared"}
    monkeypatch.setenv("TOPGRAFT_CONTAINERS", json.dumps(told))
    assert isinstance(load(contract(Some), tmp_path), Some)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"services": 1, "sharedEmptyDirMountPath": ""}'])
def test_a_broken_setting_says_so(monkeypatch, text, tmp_path):
    monkeypatch.setenv("TOPGRAFT_CONTAINERS", text)
    with pytest.raises(FatalError, match="TOPGRAFT_CONTAINERS"):
        load(contract(Linear), tmp_path)


def test_credentials_are_not_shown():
    context = ExternalModelContext(ExternalModel("https://x"), {"token": "s3cret"})
    assert "s3cret" not in repr(context)


def test_peft_adapters_are_told(start, monkeypatch):
    told = [{"name": "sql", "type": "project", "path": "/artifacts/sql"}]
    server = start("Scale", TOPGRAFT_ADAPTERS=json.dumps(told))
    server.wait()
    assert server.ask("GET", "/adapters") == (200, {"adapters": told})
    monkeypatch.setenv("TOPGRAFT_ADAPTERS", json.dumps(told))
    peft_adapters.cache_clear()
    assert peft_adapters()[0]["name"] == "sql"
    peft_adapters.cache_clear()
