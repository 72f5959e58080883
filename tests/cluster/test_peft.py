"""PEFT adapters on real pods: the files of one that fits are read; one that changes nothing of its base is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest
from safetensors.numpy import save
from support.live import Body
from support.stage import STEADY_SECONDS, Stage, message, model, open_stage, upgrade, version

MODULES = [f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(2) for part in "qv"]
ROWS, COLUMNS, RANK = 32, 16, 4


def _files(name: str, **files: bytes) -> Body:
    data = {key.replace("__", "."): base64.b64encode(content).decode() for key, content in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "immutable": True, "binaryData": data}


def _lora(name: str, modules: list[str]) -> Body:
    said = {
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "org/base",
    }
    tensors = {f"base_model.model.{each}.lora_A.weight": np.zeros((RANK, COLUMNS), np.float32) for each in modules}
    tensors |= {f"base_model.model.{each}.lora_B.weight": np.zeros((ROWS, RANK), np.float32) for each in modules}
    return _files(name, adapter_config__json=json.dumps(said).encode(), adapter_model__safetensors=save(tensors))


def _version(name: str, files: str) -> Body:
    body = version(name, "v1")
    mounted = {"base": "base", "lora": files}
    body["spec"]["artifact"]["volumes"] += [
        {"name": place, "mountPath": f"/{place}", "configMap": {"name": source}} for place, source in mounted.items()
    ]
    adapter = {"type": "project", "name": f"sql-{name}", "location": "/lora", "baseModelRef": {"name": name}}
    body["spec"]["artifact"]["adapters"] = [adapter]
    return body


@pytest.fixture(scope="module")
def stage(crds: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    base = save({f"{module}.weight": np.zeros((ROWS, COLUMNS), np.float16) for module in MODULES})
    with open_stage(tmp_path_factory.mktemp("peft")) as made:
        made.kubectl.apply(
            _files("base", config__json=b"{}", model__safetensors=base),
            _lora("fits", MODULES),
            _lora("foreign", ["encoder.layer.0.attention.query"]),
        )
        made.kubectl.apply(model("fits"), _version("fits", "fits"), model("foreign"), _version("foreign", "foreign"))
        yield made


def _read(stage: Stage, name: str) -> Body:
    """The version's status, once it has what was read of its files."""

    def read(_: str) -> bool:
        return "peftType" in json.dumps(stage.watched.live("ModelVersion", name).get("status", {}))

    stage.until(name, read, STEADY_SECONDS, "the adapter's files are read")
    status: Body = stage.watched.live("ModelVersion", name)["status"]
    return status


def test_an_adapter_that_fits_is_read_and_kept_by_an_upgrade(stage: Stage) -> None:
    assert stage.until_serves("fits") == "fits-1"
    before = _read(stage, "fits-1")
    (adapter,) = before["adapters"]
    assert (adapter["name"], adapter["peftType"], adapter["rank"]) == ("sql-fits", "LORA", RANK)
    assert adapter["modulesMatched"] == len(MODULES)
    stage.kubectl.apply(upgrade("fits", "v2"))
    name = stage.until_ready("AdapterUpgrade", "fits", "True", "UpgradeSucceeded")["status"]["toVersion"]
    after = _read(stage, name)
    assert after["artifact"]["digest"] == before["artifact"]["digest"]
    assert after["adapters"][0]["modulesMatched"] == len(MODULES)


def test_one_that_no_server_would_notice_is_refused(stage: Stage) -> None:
    body = stage.until_ready("ModelVersion", "foreign-1", "False", "AdapterMatchesNothing", STEADY_SECONDS)
    assert "none of the 1 modules that the LoRA in /lora changes" in message(body), message(body)
    assert stage.serving("foreign") is None
