"""Build the images and push them where the cluster pulls: `python hack/images.py [NAME:TAG ...]`.

An image whose inputs have not changed since it was pushed is left alone. CLUSTER says where to (see cluster.py), BASE
which base image to use (default: the Dockerfile's public one; on the local cluster the debootstrapped one).
"""

import argparse
import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import cluster
from cluster import Cluster
from localcluster import registry
from localcluster.processes import run
from localcluster.settings import ClusterError, settings
from localcluster.steps import step

ROOT = Path(__file__).resolve().parent.parent
_IMAGE_PYTHON = "3.11"
_IGNORED = ("__pycache__", ".egg-info", ".pytest_cache", ".mypy_cache", ".ruff_cache")


@dataclass(frozen=True)
class Image:
    """`inputs` are all the files, relative to the repository, that the Dockerfile may read; the context is the root.

    `full`: only the long tests use it, so that `make test` does not build it.
    """

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    requirements: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    full: bool = False


def _transformers(name: str, version: str, example: str, adapter: str, full: bool = False) -> Image:
    """An image with torch. They share every layer but the last: the second is all but built with the first."""
    adapters = f"examples/{example}/adapters"
    return Image(
        name=f"{name}:{version}",
        dockerfile="sdk/transformers/Dockerfile",
        inputs=(
            "sdk/transformers/Dockerfile",
            "sdk/transformers/Dockerfile.dockerignore",
            "constraints/build.txt",
            "sdk/transformers/constraints.txt",
            "sdk/transformers/cpu_torch.py",
            "sdk/transformers/pyproject.toml",
            "sdk/transformers/README.md",
            "sdk/transformers/topgraft_transformers",
            "sdk/pyproject.toml",
            "sdk/README.md",
            "sdk/topgraft_adapter",
            f"{adapters}/{version}",
        ),
        requirements=("constraints/build.txt", "sdk/transformers/constraints.txt"),
        arguments=(f"VARIANT={version}", f"ADAPTERS={adapters}", f"ADAPTER={adapter}"),
        full=full,
    )


OPERATOR = Image(
    name="topgraft:dev",
    dockerfile="Dockerfile",
    inputs=("Dockerfile", ".dockerignore", "constraints", "pyproject.toml", "README.md", "LICENSE", "operator"),
    requirements=("constraints/build.txt", "constraints/operator.txt"),
)
DIGITS = tuple(
    Image(
        name=f"digits:{version}",
        dockerfile="examples/digits/Dockerfile",
        inputs=(
            "examples/digits/Dockerfile",
            "examples/digits/Dockerfile.dockerignore",
            f"examples/digits/adapters/{version}",
            "sdk/constraints.txt",
            "sdk/pyproject.toml",
            "sdk/README.md",
            "sdk/topgraft_adapter",
        ),
        requirements=("sdk/constraints.txt",),
        arguments=(f"VARIANT={version}", f"ADAPTER=digits_adapter:{name}"),
    )
    for version, name in (
        *((version, "DigitsAdapter") for version in ("v1", "v2", "v3", "v4", "v6")),
        ("v5", "HandwritingAdapter"),
    )
)
CHAOS = Image(
    name="digits:chaos",
    dockerfile="examples/digits/Dockerfile",
    inputs=(*(file for file in DIGITS[0].inputs if "/adapters/" not in file), "tests/adapters/chaos"),
    requirements=("sdk/constraints.txt",),
    arguments=("VARIANT=chaos", "ADAPTERS=tests/adapters"),
)
"""What verification must find; for tests only."""
HEADS = tuple(_transformers("text-classifier", tag, "heads", "text_classifier:TextClassifier") for tag in ("v1", "v2"))
EMBEDDINGS = (
    Image(
        name="minilm:1",
        dockerfile="examples/embeddings/Dockerfile",
        inputs=(
            "examples/embeddings/Dockerfile",
            "examples/embeddings/Dockerfile.dockerignore",
            "examples/embeddings/weights.txt",
        ),
        requirements=("examples/embeddings/weights.txt",),
        full=True,
    ),
    *(
        _transformers("text-embedder", tag, "embeddings", "text_embedder:TextEmbedder", full=True)
        for tag in ("v1", "v2")
    ),
)
"""The first is no program: its files are the artifacts of the others."""
IMAGES = {image.name: image for image in (OPERATOR, *DIGITS, CHAOS, *HEADS, *EMBEDDINGS)}


class Builder:
    """buildah for the local cluster, for another one Docker where its daemon answers."""

    def __init__(self, target: Cluster) -> None:
        self.at = settings()
        self.cluster = target
        self.local = isinstance(target, cluster.Local)
        self.docker = not self.local and cluster.docker_answers()
        self.base = os.environ.get("BASE") or (target.pushed_as(registry.BASE) if self.local else "")

    def build(self, image: Image) -> str:
        """The name that pods pull the image by, once it is where they pull it from."""
        record = self.at.home / "images" / self.cluster.name / self.cluster.pushed_as(image.name).replace("/", "_")
        inputs = self._inputs(image)
        if not (record.exists() and record.read_text() == inputs and self._is_delivered(image)):
            with step(f"image {image.name}"):
                self._build(image)
                self.cluster.deliver(image.name)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(inputs)
        return f"{self.cluster.registry}/{image.name}"

    def _build(self, image: Image) -> None:
        arguments = [f"--build-arg={argument}" for argument in image.arguments]
        if self.base:
            arguments.append(f"--build-arg=BASE={self.base}")
        common = [*arguments, f"--tag={self.cluster.pushed_as(image.name)}", f"--file={ROOT / image.dockerfile}"]
        if self.docker:
            run(["docker", "build", "--quiet", *common, ROOT], seconds=1200)
            return
        more = ["--network=none", *self._wheels(image)]
        more += ["--tls-verify=false"] if self.base.startswith("127.0.0.1:") else []
        # Docker finds the ignore file of a Dockerfile by itself.
        ignore = ROOT / f"{image.dockerfile}.dockerignore"
        more += [f"--ignorefile={ignore}"] if ignore.exists() else []
        registry.Buildah(self.at)("build", "--layers", *more, *common, str(ROOT), seconds=1200)

    def _wheels(self, image: Image) -> list[str]:
        """Mounts that let `pip install` in the build find what this machine's pip has fetched.

        So the build needs no network, and this machine's pip settings (an index, certificates) reach no layer.
        """
        wheelhouse = self.at.home / "wheels"
        for file in image.requirements:
            _download(ROOT / file, wheelhouse)
        configuration = wheelhouse / "pip.conf"
        configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\ndisable-pip-version-check = true\n")
        return [f"--volume={wheelhouse}:/wheels:ro", f"--volume={configuration}:/etc/pip.conf:ro"]

    def _inputs(self, image: Image) -> str:
        inputs = hashlib.sha256(repr((image, self.base, self.docker)).encode())
        for file in sorted(_files(image)):
            inputs.update(f"{file.relative_to(ROOT)} {file.stat().st_mode & 0o111}\n".encode())
            inputs.update(hashlib.sha256(file.read_bytes()).digest())
        return inputs.hexdigest()

    def _is_delivered(self, image: Image) -> bool:
        """Another registry is not asked: the builder's own cache makes a second push quick."""
        if self.local:
            return registry.has(image.name)
        return isinstance(self.cluster, cluster.Kind) and self.cluster.is_up()


def _files(image: Image) -> list[Path]:
    found = []
    for name in image.inputs:
        path = ROOT / name
        candidates = path.rglob("*") if path.is_dir() else [path]
        found += [
            file
            for file in candidates
            if file.is_file() and not any(part.endswith(_IGNORED) for part in file.relative_to(ROOT).parts)
        ]
    return found


def _download(requirements: Path, wheelhouse: Path) -> None:
    """Fetch the wheels for the base image's Python, which need not be this machine's, hashes checked."""
    fetched = wheelhouse / f".{hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if fetched.exists():
        return
    wheelhouse.mkdir(parents=True, exist_ok=True)
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)] + [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    target = [f"--python-version={_IMAGE_PYTHON}", *(f"--platform={tag}" for tag in tags), f"--dest={wheelhouse}"]
    with step(f"wheels of {requirements.relative_to(ROOT)}"):
        run([*pip, *target, f"--requirement={requirements}"], seconds=600)
    fetched.touch()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*", help=f"default: all of {', '.join(IMAGES)}")
    names = parser.parse_args().image or list(IMAGES)
    if unknown := sorted(set(names) - set(IMAGES)):
        parser.error(f"unknown image {unknown[0]}: choose from {', '.join(IMAGES)}")
    try:
        builder = Builder(cluster.choose())
        for name in names:
            print(builder.build(IMAGES[name]))
    except ClusterError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
