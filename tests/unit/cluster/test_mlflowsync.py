"""What is asked of MLflow, and what is said of its answers; the real server is asked in tests/mlflow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from topgraft.cluster.mlflow import MlflowError
from topgraft.cluster.mlflowsync import Mlflow
from topgraft.governance.mlflow import Record, Registration

WANTED = Registration(
    "fraud", "evil/x", "mine now", (Record("x-1", "c", "kubernetes://evil/modelversions/x-1", "", ()),), "x-1", None
)


class ServerError(Exception):
    def __init__(self, code: str = "") -> None:
        super().__init__(f"{code}: at 10.0.0.7:5432")
        self.error_code = code


class Page(list[Any]):
    token = None


class Client:
    """A registry with one model, made by hand unless `tags` say otherwise. `calls`: what was written."""

    def __init__(self, fails: str = "", **tags: str) -> None:
        self.tags = {f"topgraft.dev/{name}": value for name, value in tags.items()}
        self.calls: list[str] = []
        self.fails = fails

    def get_registered_model(self, _: str) -> Any:
        if self.fails:
            raise ServerError(self.fails)
        return SimpleNamespace(tags=self.tags, aliases={"serving": "41"}, description="of others")

    def search_model_versions(self, *_: Any, **__: Any) -> Page:
        return Page()

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            return SimpleNamespace(version=42)

        return call


def mlflow(client: Client) -> Mlflow:
    made = Mlflow.__new__(Mlflow)
    made._client, made._any_error, made._answer = client, ServerError, ServerError
    return made


@pytest.mark.parametrize("tags", [{}, {"adopt": "victim/x"}, {"model": "victim/secret"}])
def test_a_registered_model_that_nobody_gave_is_not_touched(tags: dict[str, str]) -> None:
    client = Client(**tags)
    with pytest.raises(MlflowError) as refused:
        mlflow(client)(WANTED)
    assert refused.value.reason == "RegisteredModelTaken"
    assert client.calls == []
    assert "victim" not in str(refused.value), "whose it is, is not for everybody"


def test_one_that_its_owner_gave_is_taken() -> None:
    client = Client(adopt="evil/x")
    assert mlflow(client)(WANTED) == {"x-1": "42"}
    assert client.calls[0] == "set_registered_model_tag"


@pytest.mark.parametrize(
    ("code", "everybody"),
    [("INTERNAL_ERROR", False), ("PERMISSION_DENIED", False), ("TEMPORARILY_UNAVAILABLE", True)],
)
def test_what_may_be_the_fault_of_one_model_pauses_no_other(code: str, everybody: bool) -> None:
    with pytest.raises(MlflowError) as refused:
        mlflow(Client(fails=code))(WANTED)
    assert refused.value.everybody is everybody
    if code == "INTERNAL_ERROR":
        assert "10.0.0.7" not in str(refused.value)
