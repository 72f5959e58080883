"""Build the images and push them where the cluster pulls: `python hack/images.py [NAME:TAG ...]`.

An image whose inputs have not changed since it was pushed is left alone. Environment:
  TOPGRAFT_REGISTRY       the name that pods pull by (default registry.local, the local cluster's)
  TOPGRAFT_PUSH_REGISTRY  the address to push to (default: the same; for registry.local its loopback address)
  BASE                    the base image (default: the Dockerfile's; for registry.local the debootstrapped one)
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localcluster import registry
from localcluster.processes import run
from localcluster.settings import REGISTRY_PORT, ClusterError, Settings, settings
from localcluster.steps import step

ROOT = Path(__file__).resolve().parent.parent
LOCAL_REGISTRY = "registry.local"
LOCAL_PUSH = f"127.0.0.1:{REGISTRY_PORT}"
_IMAGE_PYTHON = "3.11"
_IGNORED = ("__pycache__", ".egg-info", ".pytest_cache", ".mypy_cache", ".ruff_cache")


@dataclass(frozen=True)
class Image:
    """`inputs` are all the files, relative to the repository, that the Dockerfile may read; the context is the root."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    requirements: tuple[str, ...]
    arguments: tuple[str, ...] = ()


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
        *((version, "DigitsAdapter") for version in ("v1", "v2", "v3", "v4")),
        ("v5", "HandwritingAdapter"),
    )
)
IMAGES = {image.name: image for image in (OPERATOR, *DIGITS)}


class Builder:
    """Docker where its daemon answers and the images are not for the local cluster; buildah otherwise."""

    def __init__(self, at: Settings) -> None:
        self.at = at
        self.registry = os.environ.get("TOPGRAFT_REGISTRY", LOCAL_REGISTRY)
        local = self.registry == LOCAL_REGISTRY
        self.push_to = os.environ.get("TOPGRAFT_PUSH_REGISTRY", LOCAL_PUSH if local else self.registry)
        self.base = os.environ.get("BASE", f"{LOCAL_PUSH}/{registry.BASE}" if local else "")
        self.docker = not local and docker_answers()
        self.buildah = registry.Buildah(at)

    def build(self, image: Image) -> None:
        record = self.at.home / "images" / self.push_to.replace("/", "_") / image.name
        inputs = self._inputs(image)
        if record.exists() and record.read_text() == inputs and self._is_pushed(image):
            return
        with step(f"image {image.name}"):
            self._build_and_push(image)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(inputs)

    def _build_and_push(self, image: Image) -> None:
        target = f"{self.push_to}/{image.name}"
        arguments = [f"--build-arg={argument}" for argument in image.arguments]
        if self.base:
            arguments.append(f"--build-arg=BASE={self.base}")
        common = [*arguments, f"--tag={target}", f"--file={ROOT / image.dockerfile}"]
        if self.docker:
            run(["docker", "build", "--quiet", *common, ROOT], seconds=1200)
            run(["docker", "push", "--quiet", target], seconds=600)
            return
        more = ["--network=none", *self._wheels(image)] if self.base.startswith(LOCAL_PUSH) else []
        # Docker finds the ignore file of a Dockerfile by itself.
        ignore = ROOT / f"{image.dockerfile}.dockerignore"
        more += [f"--ignorefile={ignore}"] if ignore.exists() else []
        self.buildah("build", "--layers", "--tls-verify=false", *more, *common, str(ROOT), seconds=1200)
        insecure = ["--tls-verify=false"] if self.push_to == LOCAL_PUSH else []
        self.buildah("push", "--quiet", *insecure, target, f"docker://{target}", seconds=600)

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

    def _is_pushed(self, image: Image) -> bool:
        """Only the local registry is asked: another one keeps what it has got."""
        return self.push_to != LOCAL_PUSH or registry.has(image.name)


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
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (36, 34, 31, 28, 27, 24, 17)] + [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    target = [f"--python-version={_IMAGE_PYTHON}", *(f"--platform={tag}" for tag in tags), f"--dest={wheelhouse}"]
    with step(f"wheels of {requirements.relative_to(ROOT)}"):
        run([*pip, *target, f"--requirement={requirements}"], seconds=600)
    fetched.touch()


def docker_answers() -> bool:
    """Whether there is a Docker client with a daemon behind it."""
    if shutil.which("docker") is None:
        return False
    try:
        command = ["docker", "version", "--format={{.Server.Version}}"]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*", help=f"default: all of {', '.join(IMAGES)}")
    names = parser.parse_args().image or list(IMAGES)
    if unknown := sorted(set(names) - set(IMAGES)):
        parser.error(f"unknown image {unknown[0]}: choose from {', '.join(IMAGES)}")
    try:
        builder = Builder(settings())
        for name in names:
            builder.build(IMAGES[name])
            print(f"{builder.registry}/{name}")
    except ClusterError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
