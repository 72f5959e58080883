"""What the files of PEFT adapters say: configuration and the headers of weights. No weight is read, none is executed.

A LoRA is a change of named modules of its base model. Servers load one whose names fit nothing without a word, and
answer as if it were not there: so its modules are looked for in the headers of the base weights beside it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from topgraft.checks.failure import printable
from topgraft.checks.tree import report

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MAX_CONFIG_BYTES = 1024 * 1024
MAX_ENTRIES = 100_000
MAX_TEXT = 600
MAX_ANSWER = 4000
"""Bytes of a termination message, which Kubernetes cuts at 4096."""
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Types whose shape is that of the layer; packed integers of a quantised base have others."""

_LORA = re.compile(
    r"^(?:base_model\.model\.)?(?P<module>.+?)\.lora_(?:embedding_)?(?P<side>[AB])(?:\.[^.]+)?(?:\.weight)?$"
)
_PEFT_TYPE = re.compile(r"[A-Z0-9_]{1,32}")
_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")

Shape = tuple[int, ...]


class Unfit(Exception):
    """The adapter cannot be used: `reason` for programs, the message for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Asked:
    """An adapter as the spec has it; a field that is not given is empty."""

    type: str
    name: str = ""
    location: str = ""
    huggingface_name: str = ""


@dataclass
class Found:
    """What was found of one adapter. `directory`: whether its location is one; None where it needs none.

    `modules` that its weights change, and how many of them the base weights `matched` (None: no base to compare with).
    """

    directory: bool | None = None
    peft_type: str | None = None
    base_model: str | None = None
    rank: int | None = None
    target_modules: list[str] = field(default_factory=list)
    modules: int | None = None
    matched: int | None = None
    error: dict[str, str] | None = None


class Files:
    """The mounted volumes, in their order, as far as adapters and base weights go. Nothing outside of them is read."""

    def __init__(self, volumes: Mapping[str, str]) -> None:
        """Take the volumes as name → path of the mount."""
        self.roots = {name: Path(os.path.realpath(path)) for name, path in volumes.items()}
        self._mounts = [Path(path) for path in volumes.values()]

    def inside(self, path: Path) -> Path | None:
        """Where it really is; None where that is outside of all volumes, or nowhere."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return None
        return real if any(real.is_relative_to(root) for root in self.roots.values()) else None

    def directory(self, location: str) -> Path | None:
        """The directory at an absolute path below a mount, or at a path in the first volume."""
        path = Path(location)
        if path.is_absolute():
            return self._is_directory(path) if any(path.is_relative_to(mount) for mount in self._mounts) else None
        return self._is_directory(self._mounts[0] / path) if self._mounts else None

    def mirrored(self, name: str) -> Path | None:
        """The directory of an adapter of the Hub: as org/name, or as the Hub's client keeps it."""
        if not _HUB_NAME.match(name) or ".." in name:
            return None
        cached = f"models--{name.replace('/', '--')}"
        for mount in self._mounts:
            for place in (mount / name, mount / "hub" / name):
                if (found := self._is_directory(place)) and self.file(found / CONFIG):
                    return found
            for place in (mount / cached, mount / "hub" / cached):
                if found := self._snapshot(place):
                    return found
        return None

    def _snapshot(self, kept: Path) -> Path | None:
        """The revision that `main` stands for, or the only one."""
        if (reference := self.file(kept / "refs" / "main")) and reference.stat().st_size < 256:
            revision = reference.read_text(errors="replace").strip()
            return self._is_directory(kept / "snapshots" / revision) if revision else None
        snapshots = self._is_directory(kept / "snapshots")
        revisions = sorted(snapshots.iterdir())[:2] if snapshots else []
        return self._is_directory(revisions[0]) if len(revisions) == 1 else None

    def _is_directory(self, path: Path) -> Path | None:
        real = self.inside(path)
        return real if real is not None and real.is_dir() else None

    def file(self, path: Path) -> Path | None:
        """Where a regular file really is; None where there is none: opening anything else could take for ever."""
        real = self.inside(path)
        return real if real is not None and real.is_file() else None

    def base_weights(self) -> dict[Path, list[Path]]:
        """Directory → its safetensors files, but for those of adapters; nothing where there are too many files.

        Links to directories are not followed.
        """
        found: dict[Path, list[Path]] = {}
        left = MAX_ENTRIES
        for root in self.roots.values():
            for place, directories, names in os.walk(root):
                left -= len(directories) + len(names)
                if left < 0:
                    return {}
                directories[:] = sorted(d for d in directories if not d.startswith("..") and d != "lost+found")
                if CONFIG not in names and (kept := [n for n in names if n.endswith(".safetensors") and n != WEIGHTS]):
                    found[Path(place)] = [path for name in sorted(kept) if (path := self.file(Path(place, name)))]
        return found


class Base:
    """The modules of the base weights: tail of the name → shapes of its weight (empty: any shape will do).

    It is empty, and says nothing, where a file cannot be read: it may be of a kind that servers know and we do not.
    Names are compared from the numbered layer on: what stands before it differs between a checkpoint and the class
    that loads it (`model.layers.0…`, `language_model.model.layers.0…`), and the same layer would not be found.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._shapes: dict[str, set[Shape]] = {}
        self.example = ""
        try:
            self._add(files)
        except Unfit:
            self._shapes = {}

    def _add(self, files: Sequence[Path]) -> None:
        for path in files:
            for name, shape, kind in _tensors(path):
                module, _, leaf = name.rpartition(".")
                if not module:
                    continue
                known = self._shapes.setdefault(tail(module), set())
                if leaf == "weight" and len(shape) == 2 and kind in FLOATS:
                    known.add(shape)
                self.example = self.example or module

    def __len__(self) -> int:
        return len(self._shapes)

    def fits(self, module: str, change: Shape | None) -> bool:
        """Whether there is a module of this name that a change of this shape fits, whichever way its weight lies."""
        known = self._shapes.get(tail(module))
        if known is None:
            return False
        return not known or change is None or change in known or change[::-1] in known


def tail(module: str) -> str:
    """A module's name from its numbered layer on: `layers.0.self_attn.q_proj`; without one the last part."""
    parts = module.split(".")
    first = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return parts[-1] if first is None else ".".join(parts[max(0, first - 1) :])


def _tensors(path: Path) -> Iterator[tuple[str, Shape, str]]:
    """(name, shape, type) of every tensor, from the header alone. Raises Unfit."""
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                one = file.get_slice(name)
                yield name, tuple(one.get_shape()), str(one.get_dtype())
    except (SafetensorError, OSError) as error:
        text = f"{path.name} cannot be read: {printable(str(error))[:200]}"
        raise Unfit("AdapterUnreadable", text) from None


def changes(weights: Path) -> dict[str, Shape | None]:
    """Module → shape of the change that a LoRA makes to it; None where its two factors are no matrices."""
    sides: dict[str, dict[str, Shape]] = {}
    for name, shape, _ in _tensors(weights):
        if match := _LORA.match(name):
            sides.setdefault(match["module"], {})[match["side"]] = shape
    made: dict[str, Shape | None] = {}
    for module, factors in sides.items():
        low, high = factors.get("A", ()), factors.get("B", ())
        made[module] = (high[0], low[1]) if len(low) == len(high) == 2 else None
    return made


def configuration(path: Path | None, shown: str) -> dict[str, Any]:
    """adapter_config.json as an object. Raises Unfit."""
    if path is None:
        raise Unfit("AdapterUnreadable", f"{shown} holds no {CONFIG}: it is no PEFT adapter")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise Unfit("AdapterUnreadable", f"{CONFIG} in {shown} has more than {MAX_CONFIG_BYTES} bytes")
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        text = printable(str(getattr(error, "strerror", None) or error))[:200]
        raise Unfit("AdapterUnreadable", f"{CONFIG} in {shown} cannot be read: {text}") from None
    if not isinstance(said, dict):
        raise Unfit("AdapterUnreadable", f"{CONFIG} in {shown} is no JSON object")
    return said


class Inspection:
    """Looks at all adapters of a version."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._weights = files.base_weights()
        self._bases: dict[tuple[Path, ...], Base] = {}

    def look(self, asked: Asked) -> Found:
        """What its files say. One that cannot be used carries the error; the others are looked at all the same."""
        found = Found()
        try:
            directory = self._directory(asked, found)
            if directory is not None:
                self._read(directory, asked, found)
        except Unfit as unfit:
            found.error = {"reason": unfit.reason, "message": str(unfit)[:MAX_TEXT]}
        return found

    def _directory(self, asked: Asked, found: Found) -> Path | None:
        if asked.location:
            directory = self._files.directory(asked.location)
            found.directory = directory is not None
            return directory
        if asked.type != "huggingface":
            return None
        directory = self._files.mirrored(asked.huggingface_name)
        if directory is None:
            name = printable(asked.huggingface_name)[-200:]
            text = f"{name!r} is in no artifact volume, and nothing is fetched from the network: put the adapter's"
            raise Unfit("FetchFailed", f"{text} files into a volume as {name}/, or as the Hub's client keeps them")
        return directory

    def _read(self, directory: Path, asked: Asked, found: Found) -> None:
        shown = printable(asked.location or asked.huggingface_name)[-200:]
        said = configuration(self._files.file(directory / CONFIG), shown)
        kind = said.get("peft_type", "LORA")
        found.peft_type = kind if isinstance(kind, str) and _PEFT_TYPE.fullmatch(kind) else "UNKNOWN"
        found.base_model = _text(said.get("base_model_name_or_path"), 256)
        rank, targets = said.get("r"), said.get("target_modules")
        found.rank = rank if isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < 2**31 else None
        named = targets if isinstance(targets, list) else [targets]
        found.target_modules = [text for one in sorted(map(str, filter(None, named))) if (text := _text(one, 128))][:16]
        weights = self._files.file(directory / WEIGHTS)
        if weights is None:
            if self._files.file(directory / PICKLED) is not None:
                return  # a pickle is a program: it is not run to look at it
            raise Unfit("AdapterUnreadable", f"{shown} holds neither {WEIGHTS} nor {PICKLED}")
        if found.peft_type == "LORA":
            self._match(changes(weights), directory, shown, found)

    def _match(self, made: dict[str, Shape | None], directory: Path, shown: str, found: Found) -> None:
        found.modules = len(made)
        if not made:
            raise Unfit("AdapterMatchesNothing", f"{WEIGHTS} in {shown} holds no LoRA: it changes no module")
        base = self._base_of(found.base_model or "", directory)
        if not len(base):
            return
        found.matched = sum(base.fits(module, change) for module, change in made.items())
        if found.matched == 0:
            module, change = next(iter(made.items()))
            shape = f" {list(change)}" if change else ""
            raise Unfit(
                "AdapterMatchesNothing",
                f"none of the {len(made)} modules that the LoRA in {shown} changes is in the base weights, such as "
                f"{printable(module)[:120]}{shape}; those have {len(base)} modules, such as "
                f"{printable(base.example)[:120]}: it was trained on another base model",
            )

    def _base_of(self, named: str, directory: Path) -> Base:
        """The base weights that adapter_config.json names, where one of several directories is so called; else all."""
        candidates = [place for place in self._weights if place != directory]
        last = named.rstrip("/").rpartition("/")[2]
        hub = f"models--{named.replace('/', '--')}"
        so_called = [place for place in candidates if last and (place.name == last or hub in place.parts)]
        chosen = tuple(so_called or candidates)
        if chosen not in self._bases:
            self._bases[chosen] = Base([path for place in chosen for path in self._weights[place]])
        return self._bases[chosen]


def _text(value: object, limit: int) -> str | None:
    return printable(value)[:limit] if isinstance(value, str) and value else None


def answer(found: Sequence[Found]) -> str:
    """One line of JSON that fits into a termination message; what is least needed goes first."""
    rows = [{k: v for k, v in asdict(one).items() if v not in (None, [])} for one in found]
    text = ""
    for drop in ("", "target_modules", "base_model", "error", "rank"):
        for index, row in enumerate(rows):
            if drop == "error" and drop in row:
                # Only the first failure counts.
                first = not any("error" in other for other in rows[:index])
                row["error"]["message"] = row["error"]["message"][: 250 if first else 0]
            else:
                row.pop(drop, None)
        text = json.dumps({"adapters": rows}, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode()) <= MAX_ANSWER:
            break
    return text


def run(volumes: Mapping[str, str], adapters: str) -> int:
    """Look at the adapters, a JSON list of `Asked`; the answer goes to stdout and into the termination log.

    Exit status 0, also where an adapter cannot be used; 2 for what is no such list.
    """
    try:
        asked = [Asked(**one) for one in json.loads(adapters)]
    except (ValueError, TypeError) as error:
        print(f"--adapters is no list of adapters in JSON: {error}", file=sys.stderr)
        return 2
    inspection = Inspection(Files(volumes))
    report(answer([inspection.look(one) for one in asked]))
    return 0
