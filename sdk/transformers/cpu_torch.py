"""Make the torch of a virtual environment lean, for processors: `python cpu_torch.py SITE_PACKAGES`.

The Linux wheel of torch in the Python Package Index is built for CUDA: it loads only beside 2.5 GB of NVIDIA's
libraries, of which a machine without a GPU calls two small ones (the CUDA runtime, which says that there is no GPU, and
the profiler's). After this it loads beside these two alone. The code for processors stays as it is; what changes in
torch's libraries is

- their lists of other libraries to load (`DT_NEEDED`, `DT_VERNEED`): the heavy ones of NVIDIA's leave it;
- the binding of undefined symbols (`STB_WEAK`): those that only the heavy ones define may stay undefined;
- the programs for GPUs (`.nv_fatbin`): zeros, which take no room in an image.

On a machine with a GPU install torch with all its requirements instead, and leave this out. Needs nothing but the
standard library. Safe to run twice.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEAVY = (
    "libcublas",
    "libcudnn",
    "libcufft",
    "libcufile",
    "libcurand",
    "libcusolver",
    "libcusparse",
    "libnccl",
    "libnv",
)
"""How the names of the libraries begin that are only called once there is a GPU."""
GPU_PROGRAMS = ".nv_fatbin"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_ENTRY = struct.Struct("<qQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NEED = struct.Struct("<HHIII")
_NEED_SYMBOL = struct.Struct("<IHHII")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB = 0, 1, 4, 5, 6
_DT_GNU_HASH, _DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
_GLOBAL, _WEAK, _ANY_VERSION = 1, 2, 1


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


class Library:
    """An ELF shared library of 64 bits, little-endian, held in memory and changed there."""

    def __init__(self, content: bytes) -> None:
        header = _HEADER.unpack_from(content)
        if content[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not an ELF library of 64 bits, little-endian")
        self.content = bytearray(content)
        first, size, count = header[5], header[9], header[10]
        parts = [_SEGMENT.unpack_from(content, first + index * size) for index in range(count)]
        self._segments = [_Segment(part[0], part[2], part[3], part[5]) for part in parts]
        dynamic = next(segment for segment in self._segments if segment.kind == _PT_DYNAMIC)
        self._dynamic, self._dynamic_end = dynamic.offset, dynamic.offset + dynamic.size

    @property
    def needed(self) -> list[str]:
        """The libraries that it is loaded with."""
        return [self._text(value) for tag, value in self._entries() if tag == _DT_NEEDED]

    def release(self, libraries: set[str]) -> None:
        """Be no longer in need of these libraries."""
        released = self._drop_versions(libraries)
        entries = [(t, v) for t, v in self._entries() if not (t == _DT_NEEDED and self._text(v) in libraries)]
        for index in range(len(self._entries()) + 1):
            entry = entries[index] if index < len(entries) else (_DT_NULL, 0)
            _ENTRY.pack_into(self.content, self._dynamic + index * _ENTRY.size, *entry)
        self._loosen(released)

    def blank(self, section: str) -> None:
        """Overwrite a section with zeros, if there is one of that name."""
        first, size, count, names = (_HEADER.unpack_from(self.content)[index] for index in (6, 11, 12, 13))
        sections = [_SECTION.unpack_from(self.content, first + index * size) for index in range(count)]
        for name, _, _, _, offset, length, *_ in sections:
            start = sections[names][4] + name
            if self.content[start : self.content.index(0, start)].decode() == section:
                self.content[offset : offset + length] = bytes(length)

    def _entries(self) -> list[tuple[int, int]]:
        found = []
        for tag, value in _ENTRY.iter_unpack(self.content[self._dynamic : self._dynamic_end]):
            if tag == _DT_NULL:
                break
            found.append((tag, value))
        return found

    def _value(self, wanted: int) -> int | None:
        return next((value for tag, value in self._entries() if tag == wanted), None)

    def _at(self, address: int) -> int:
        """The place in the file of an address in memory."""
        for segment in self._segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise ValueError(f"address {address:#x} is in no segment")

    def _table(self, tag: int) -> int:
        address = self._value(tag)
        if address is None:
            raise ValueError(f"it has no dynamic entry {tag:#x}")
        return self._at(address)

    def _text(self, place: int) -> str:
        start = self._table(_DT_STRTAB) + place
        return self.content[start : self.content.index(0, start)].decode()

    def _drop_versions(self, libraries: set[str]) -> set[int]:
        """Take these libraries out of the list of symbol versions; returns the numbers that stood for theirs."""
        if self._value(_DT_VERNEED) is None:
            return set()
        released, kept = set[int](), list[int]()
        for place in self._needs():
            _, count, file, first, _ = _NEED.unpack_from(self.content, place)
            if self._text(file) not in libraries:
                kept.append(place)
                continue
            symbol = place + first
            for _ in range(count):
                _, _, number, _, following = _NEED_SYMBOL.unpack_from(self.content, symbol)
                released.add(number)
                symbol += following
        if not kept:
            raise ValueError("it would need no library's versions at all")
        for place, following in zip(kept, [*kept[1:], None], strict=True):
            struct.pack_into("<I", self.content, place + 12, 0 if following is None else following - place)
        moved = kept[0] - self._table(_DT_VERNEED)
        for index, (tag, value) in enumerate(self._entries()):
            new = {_DT_VERNEED: value + moved, _DT_VERNEEDNUM: len(kept)}.get(tag, value)
            _ENTRY.pack_into(self.content, self._dynamic + index * _ENTRY.size, tag, new)
        return released

    def _needs(self) -> Iterator[int]:
        place = self._table(_DT_VERNEED)
        for _ in range(self._value(_DT_VERNEEDNUM) or 0):
            yield place
            place += _NEED.unpack_from(self.content, place)[4]

    def _loosen(self, released: set[int]) -> None:
        """Undefined symbols may stay so; those with a version that was dropped are looked for without one."""
        symbols, versions = self._table(_DT_SYMTAB), self._value(_DT_VERSYM)
        for index in range(1, self._symbols()):
            place = symbols + index * _SYMBOL.size
            _, info, _, section, _, _ = _SYMBOL.unpack_from(self.content, place)
            if section == 0 and info >> 4 == _GLOBAL:
                self.content[place + 4] = _WEAK << 4 | info & 0xF
            if versions is not None and section == 0:
                at = self._at(versions) + 2 * index
                if struct.unpack_from("<H", self.content, at)[0] in released:
                    struct.pack_into("<H", self.content, at, _ANY_VERSION)

    def _symbols(self) -> int:
        """How many dynamic symbols there are: only the hash tables tell."""
        if self._value(_DT_HASH) is not None:
            return int(struct.unpack_from("<II", self.content, self._table(_DT_HASH))[1])
        table = self._table(_DT_GNU_HASH)
        buckets, first, words, _ = (int(n) for n in struct.unpack_from("<IIII", self.content, table))
        heads = table + 16 + 8 * words
        last = int(max(struct.unpack_from(f"<{buckets}I", self.content, heads)))
        if last < first:
            return first
        chain = heads + 4 * buckets
        while not struct.unpack_from("<I", self.content, chain + 4 * (last - first))[0] & 1:
            last += 1
        return last + 1


def convert(site_packages: Path) -> None:
    """Free the torch in this directory from NVIDIA's heavy libraries."""
    folder = site_packages / "torch" / "lib"
    if not folder.is_dir():
        raise SystemExit(f"cpu_torch: there is no torch in {site_packages}")
    for file in sorted(folder.glob("lib*.so")):
        library = Library(file.read_bytes())
        before = bytes(library.content)
        if heavy := {name for name in library.needed if name.startswith(HEAVY)}:
            library.release(heavy)
        library.blank(GPU_PROGRAMS)
        if library.content != before:
            _replace(file, library.content)


def _replace(file: Path, content: bytearray) -> None:
    """By a new file: the old one may be shared with a package cache by a hard link."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    new.chmod(file.stat().st_mode & 0o777)
    new.replace(file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} SITE_PACKAGES")
    convert(Path(sys.argv[1]))
