"""A registry that asks who pulls, on real pods: targets are looked up and images pulled with the Model's secret."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import cluster
import pytest
from localcluster.settings import HOST_ADDRESS, settings
from support.live import Body, wait_until
from support.ports import free_port
from support.stage import Stage, message, model, open_stage, targeted, version

pytestmark = pytest.mark.skipif(cluster.choose().name != "local", reason="the node is told of a second registry")

HOST = "private.local"
USER, PASSWORD = "puller", "right"
HTPASSWD = f"{USER}:$2b$04$.KBrsF8LCT5UgiFCOTmjKu0OArrzZeLgOQvdh8yzVVkBUfukF1a4m\n"
"""bcrypt of `right`."""
CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {images}}}, maintenance: {{readonly: {{enabled: true}}}}}}
http: {{addr: "{address}"}}
auth: {{htpasswd: {{realm: private, path: {passwords}}}}}
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The cluster's images once more, behind a password; the node knows the place as `private.local`."""
    folder, at = tmp_path_factory.mktemp("private"), settings()
    address = f"{HOST_ADDRESS}:{free_port(HOST_ADDRESS)}"
    (folder / "passwords").write_text(HTPASSWD)
    (folder / "registry.yml").write_text(
        CONFIGURATION.format(images=at.registry, address=address, passwords=folder / "passwords")
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "registry.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    hosts = at.run / "node/certs.d" / HOST
    try:
        wait_until(lambda: _asks_who(f"http://{address}/v2/"), 15, "the registry asks who pulls")
        hosts.mkdir(exist_ok=True)
        url = f"http://{address}"
        (hosts / "hosts.toml").write_text(f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')
        yield url
    finally:
        shutil.rmtree(hosts, ignore_errors=True)
        process.kill()
        process.wait()
        print((folder / "log").read_text()[-2000:])


def _asks_who(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False


@pytest.fixture(scope="module")
def stage(crds: None, endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("pull"), "--registry", f"{HOST}={endpoint}") as made:
        made.kubectl.apply(_secret(PASSWORD))
        yield made


def _secret(password: str, name: str = "pull") -> Body:
    entry = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {HOST: {"auth": entry}}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name},
        "stringData": {".dockerconfigjson": config},
    }


def _deploy(stage: Stage, name: str, secret: str) -> None:
    image = {"image": f"{HOST}/digits:v1"}
    serving = {"imagePullSecrets": [{"name": secret}]}
    stage.kubectl.apply(model(name, serving=serving), version(name, adapter=image))


def test_a_target_is_looked_up_and_pulled_with_the_models_secret(stage: Stage) -> None:
    _deploy(stage, "private", "pull")
    stage.until_serves("private")
    stage.kubectl.apply(targeted("private", tag="v2"))
    body = stage.until_ready("AdapterUpgrade", "private", "True", "UpgradeSucceeded")
    found = body["status"]["resolved"]
    image = stage.watched.live("ModelVersion", body["status"]["toVersion"])["spec"]["adapter"]["image"]
    assert image == f"{HOST}/digits:v2@{found['digest']}"
    told = json.dumps([body, stage.watched.live("Model", "private")]) + stage.operator.log.read_text()
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in told


def test_a_wrong_secret_is_told_and_the_right_one_ends_the_wait(stage: Stage) -> None:
    """The registry's refusal is the environment's: no version is blamed, and nothing but the Secret is edited."""
    stage.kubectl.apply(_secret("wrong", "changes"))
    _deploy(stage, "denied", "changes")
    stage.until_ready("Model", "denied", "Unknown", "ImagePullDenied")
    assert HOST in message(stage.watched.live("Model", "denied"))
    stage.kubectl.apply(_secret(PASSWORD, "changes"))
    stage.until_serves("denied", 240)
    assert stage.failures("denied") == {}
    stage.kubectl.apply(_secret("wrong", "changes"), targeted("denied", tag="v2"))
    body = stage.until_ready("AdapterUpgrade", "denied", "Unknown", "ImagePullDenied")
    assert HOST in message(body)
    stage.kubectl.apply(_secret(PASSWORD, "changes"))
    stage.until_ready("AdapterUpgrade", "denied", "True", "UpgradeSucceeded", 240)
