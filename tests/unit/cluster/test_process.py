"""What the process shows: its logs, its probes, its command line."""

import json
import logging
import sys

import pytest
from aiohttp import ClientSession
from fakeapi import FakeApi
from prometheus_client import REGISTRY
from topgraft import cli
from topgraft.cluster import echo
from topgraft.cluster.caches import Caches
from topgraft.cluster.health import ClusterMetrics, Health, serve
from topgraft.cluster.kinds import POD
from topgraft.cluster.lease import Elector
from topgraft.cluster.logs import JsonFormatter, TextFormatter
from topgraft.cluster.queue import WorkQueue


def record(message: str, **extra: object) -> logging.LogRecord:
    try:
        raise ValueError("broken") if extra.pop("failed", False) else KeyError
    except ValueError:
        failure = sys.exc_info()
    except KeyError:
        failure = None
    made = logging.getLogger("topgraft.test").makeRecord(
        "topgraft.test", logging.INFO, "file", 1, message, (), failure, extra=extra
    )
    made.created = 1767225600.5
    return made


def test_a_log_line_is_one_json_object_with_the_fields_given() -> None:
    line = json.loads(JsonFormatter().format(record("wrote\nit", model="m", namespace="ns", milliseconds=1.5)))
    assert line == {
        "ts": "2026-01-01T00:00:00.500+00:00",
        "level": "info",
        "msg": "wrote\nit",
        "logger": "topgraft.test",
        "model": "m",
        "namespace": "ns",
        "milliseconds": 1.5,
    }


def test_a_failure_carries_its_traceback_on_the_same_line() -> None:
    text = JsonFormatter().format(record("a turn failed", failed=True))
    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["exception"]


def test_text_shows_the_fields_too() -> None:
    assert TextFormatter().format(record("wrote", model="m")).endswith("wrote model=m")


async def test_probes_and_metrics(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = Caches(lambda key: None)
    elector = Elector(api.client(), "ns", "topgraft", "host")
    health, metrics = Health(elector, caches), ClusterMetrics(caches, WorkQueue())
    runner = await serve(health, metrics, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with ClientSession() as http:

            async def get(path: str) -> tuple[int, str]:
                async with http.get(base + path) as answer:
                    return answer.status, await answer.text()

            assert await get("/healthz") == (200, "ok\n")
            assert (await get("/readyz"))[0] == 503
            elector.standing_by = True
            assert (await get("/readyz"))[0] == 200, "a replica that waits for the Lease does its part"
            elector.standing_by = False
            health.filled = True
            assert (await get("/readyz"))[0] == 200
            caches.echoes.expect(POD, 5)
            monkeypatch.setattr(echo, "PATIENCE", -1.0)
            code, text = await get("/healthz")
            assert (code, "brought nothing" in text) == (503, True)
            assert "topgraft_queue_depth 0.0" in (await get("/metrics"))[1]
    finally:
        REGISTRY.unregister(metrics)
        await runner.cleanup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: verb"),
        (["operator"], "TOPGRAFT_IMAGE"),
        (["operator", "--workers", "0"], "not a positive whole number"),
        (["operator", "--max-concurrent-rollouts", "many"], "not a positive whole number"),
        (["operator", "--max-concurrent-rollouts-per-namespace", "0"], "not a positive whole number"),
        (["digest"], "--volume"),
    ],
)
def test_a_wrong_command_line_is_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOPGRAFT_IMAGE", raising=False)
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("topgraft 0.")
