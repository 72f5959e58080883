"""`topgraft-adapter init`: a new adapter project that passes its own tests."""

from __future__ import annotations

import re
from pathlib import Path

from topgraft_adapter.errors import FatalError

_ADAPTER = '''"""NAME: what it takes and what it answers."""

import numpy as np
from topgraft_adapter import Api, Array, ModelAdapter, NumpySerializer, auto_serialize


class CLASS(ModelAdapter):
    """A linear model: replace it by yours."""

    @auto_serialize(weights=NumpySerializer())
    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights

    @classmethod
    def api(cls) -> Api:
        """Rows of four numbers; the score of each row."""
        return {"x": Array("float", (-1, 4))}, {"score": Array("float", (-1,))}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Scores of rows of shape [n, 4]."""
        return x @ self._weights
'''

_TRAIN = '''"""Make the artifacts: `python train.py`."""

import numpy as np
from MODULE import CLASS
from topgraft_adapter import publish

publish(CLASS(np.array([0.5, -1.0, 2.0, 0.25], dtype=np.float32)), "artifacts")
'''

_TEST = '''"""Run it by `pytest`, after `python train.py`; `topgraft-adapter test` asks what a cluster will ask."""

import numpy as np
from MODULE import CLASS
from topgraft_adapter import ModelStateReader


def test_scores() -> None:
    adapter = CLASS.load(ModelStateReader("artifacts"))
    assert adapter.predict(np.ones((1, 4), dtype=np.float32)).tolist() == [1.75]
'''

_SAMPLE = '{"input": {"x": [[1, 1, 1, 1]]}}\n'

_ENVIRONMENT = """TOPGRAFT_ADAPTER=MODULE:CLASS
TOPGRAFT_ARTIFACT_DIR=artifacts
TOPGRAFT_MODEL=NAME
TOPGRAFT_VERSION=NAME-1
PYTHONPATH=.
"""

_DOCKERFILE = """# pip wheel --no-deps --wheel-dir wheels PATH/TO/topgraft/sdk
# docker build -t registry.example/NAME:v1 --build-arg TAG=v1 .
FROM python:3.11-slim
COPY requirements.txt /tmp/requirements.txt
# What no package index of yours has: topgraft-adapter.
COPY wheels/ /tmp/wheels/
RUN pip install --no-cache-dir --find-links /tmp/wheels -r /tmp/requirements.txt
COPY MODULE.py /opt/adapter/MODULE.py
ARG TAG=""
ARG COMMIT=""
ENV PYTHONPATH=/opt/adapter \\
    TOPGRAFT_ADAPTER=MODULE:CLASS \\
    TOPGRAFT_TAG=${TAG} \\
    TOPGRAFT_COMMIT=${COMMIT}
# The root file system is read-only in the cluster: what Python compiles has to be there already.
RUN python -c "import topgraft_adapter.cli, topgraft_adapter.server, MODULE"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["topgraft-adapter"]
CMD ["serve"]
"""

_README = """# NAME

    python train.py                                            # writes artifacts/
    env $(cat environment) topgraft-adapter test --sample sample.json
    env $(cat environment) topgraft-adapter serve --host 127.0.0.1
    curl -d @sample.json http://127.0.0.1:8080/transformJson

The artifacts go to a volume, the rest into an image: Dockerfile says how in its first two lines. Pin what
requirements.txt names before you build.
"""


def init(directory: Path) -> list[Path]:
    """Write the project into a new directory, or one that is empty; returns its files.

    Raises FatalError: SettingInvalid.
    """
    name = directory.resolve().name.lower()
    module = re.sub(r"\W+", "_", name).strip("_")
    if not re.fullmatch("[a-z][a-z0-9-]{0,50}[a-z0-9]", name) or not module.isidentifier():
        message = f"{name!r}: name the directory with lower-case letters, digits and '-', a letter first."
        raise FatalError("SettingInvalid", message, exit_code=2)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FatalError("SettingInvalid", f"{directory} is not an empty directory.", exit_code=2)
    adapter = f"{module}_adapter"
    words = {
        "NAME": name,
        "MODULE": adapter,
        "CLASS": "".join(part.title() for part in module.split("_")) + "Adapter",
    }
    files = {
        f"{adapter}.py": _ADAPTER,
        "train.py": _TRAIN,
        "test_adapter.py": _TEST,
        "sample.json": _SAMPLE,
        "environment": _ENVIRONMENT,
        "requirements.txt": "topgraft-adapter\n",
        "Dockerfile": _DOCKERFILE,
        ".dockerignore": "artifacts\n",
        "README.md": _README,
    }
    directory.mkdir(parents=True, exist_ok=True)
    return [_written(directory / path, text, words) for path, text in files.items()]


def _written(path: Path, text: str, words: dict[str, str]) -> Path:
    path.write_text(re.sub(r"\b(NAME|MODULE|CLASS)\b", lambda found: words[found.group()], text))
    return path
