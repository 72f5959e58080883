"""GET /openapi.json describes the server so well that a tool which no one here wrote can test it by that alone."""

import json
import warnings

import pytest
from adapters import Echo, Scale, Table, WideApi
from conftest import Server, make_artifacts
from hypothesis import HealthCheck, given, settings

from topgraft_adapter.inference import metadata
from topgraft_adapter.openapi import document

ADAPTERS = (Echo, Scale, Table, WideApi)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.__name__)
def test_the_description_is_one(adapter):
    import schemathesis  # noqa: PLC0415 - no other test of this process may need it

    described = document(adapter.api(), "scale", "scale-1")
    assert json.loads(json.dumps(described)) == described
    schemathesis.openapi.from_dict(described).validate()
    body = described["paths"]["/v2/models/scale/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    tensors = body["properties"]["inputs"]["items"]["anyOf"]
    assert [
        {"name": t["properties"]["name"]["const"], "datatype": t["properties"]["datatype"]["const"]} for t in tensors
    ] == [{"name": told["name"], "datatype": told["datatype"]} for told in metadata(adapter.api()[0])]


def test_defaults_are_not_required():
    values = document(Echo.api(), "m", "v")["paths"]["/transformJson"]["post"]["requestBody"]["content"]
    schema = values["application/json"]["schema"]
    assert schema["required"] == ["input"]
    assert "level" not in schema["properties"]["input"]["required"]
    assert schema["properties"]["input"]["properties"]["counts"]["additionalProperties"]["type"] == "integer"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    made = [
        Server(f"adapters:{adapter.__name__}", make_artifacts(tmp_path_factory.mktemp("openapi")))
        for adapter in (Echo, Table)
    ]
    for server in made:
        server.wait()
    yield made
    for server in made:
        server.process.kill()
        server.process.wait(20)


def test_every_route_is_described(servers):
    described = servers[0].ask("GET", "/openapi.json")[1]
    for path, operations in described["paths"].items():
        for method in operations:
            if method == "get":
                assert servers[0].text(path)
            else:
                assert servers[0].ask("POST", path, {})[0] == 400


def test_the_example_in_it_is_answered(servers):
    for server in servers:
        body = server.ask("GET", "/openapi.json")[1]["paths"]["/transformJson"]["post"]["requestBody"]["content"]
        (example,) = body["application/json"]["schema"]["examples"]
        assert server.ask("POST", "/transformJson", example)[0] == 200


@pytest.mark.parametrize("kind", ["positive", "negative"])
@pytest.mark.parametrize(
    "examples", [15, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(3600)])], ids=["15", "1000"]
)
def test_no_body_breaks_what_is_described(servers, kind, examples):
    """Schemathesis makes bodies that fit the description and such that do not; each answer must be one it names.

    The short form leaves out the second server, and the second names of routes.
    """
    second = ("/versions/", "/liveDeployments/") if examples < 100 else ()
    import requests  # noqa: PLC0415
    import schemathesis  # noqa: PLC0415
    from schemathesis import checks  # noqa: PLC0415

    checks.load_all_checks()
    asked = (
        checks.not_a_server_error,
        checks.CHECKS.get_one("status_code_conformance"),
        checks.CHECKS.get_one("content_type_conformance"),
        checks.CHECKS.get_one("response_schema_conformance"),
    )
    for server in servers if examples >= 100 else servers[:1]:
        url = f"http://127.0.0.1:{server.port}"
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        with requests.Session() as session:
            for operation in (one.ok() for one in schema.get_all_operations()):
                if operation.method == "post" and not any(name in operation.path for name in second):
                    _hold(operation, schemathesis.GenerationMode(kind), examples, session, url, asked)
        assert server.process.poll() is None


def _hold(operation, mode, examples, session, url, asked):
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy(mode))
    def ask(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            response = case.call(base_url=url, session=session, timeout=10)
        case.validate_response(response, checks=list(asked))

    ask()
