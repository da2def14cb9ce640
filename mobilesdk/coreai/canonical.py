"""Rewriting of an asset to bytes that depend on its content alone.

coreai-core names resources and inner functions at random, and writes the date into the metadata.
Here they are numbered in the order of the file, and the date is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from mobilesdk.coreai.bytecode import STRINGS, read_bytecode, read_header
from mobilesdk.coreai.package import HASH, METADATA, PROGRAM
from mobilesdk.coreai.program import MAIN, Program
from mobilesdk.coreai.reader import PADDING, Reader, write_number
from mobilesdk.errors import FileRejected

_DATE = "creationDate"
_RANDOM_SUFFIX = re.compile(r"_[a-z]{8}\Z")
_ALIGNED = 0x80


def canonicalize(path: Path) -> None:
    """Rewrite an asset in place.

    Args:
        path: As coreai-core has written it.

    Raises:
        FileRejected: It is damaged.
    """
    program = canonical_program((path / PROGRAM).read_bytes())
    metadata = json.loads((path / METADATA).read_bytes())
    metadata.pop(_DATE, None)
    (path / PROGRAM).write_bytes(program)
    (path / HASH).write_bytes(hashlib.sha256(program).digest())
    (path / METADATA).write_text(json.dumps(metadata, indent=2, sort_keys=True) + "\n", "utf-8")


def canonical_program(data: bytes) -> bytes:
    """Give a program with names in place of random ones.

    Raises:
        FileRejected: It is damaged.
    """
    bytecode = read_bytecode(memoryview(data))
    names = {name: f"resource_{place}" for place, (name, _) in enumerate(bytecode.resources)}
    for place, graph in enumerate(Program(bytecode).graphs):
        if graph.name != MAIN:
            names[graph.name] = f"{_RANDOM_SUFFIX.sub('', graph.name)}_{place}"
    clashing = set(names.values()) & (set(bytecode.strings) - set(names))
    if clashing:
        raise FileRejected(f"The program has names of its own like {sorted(clashing)[0]!r}.")
    return _with_strings(data, [names.get(text, text) for text in bytecode.strings])


def _with_strings(data: bytes, strings: list[str]) -> bytes:
    """Put another table of texts in; what comes behind it moves, and is aligned again."""
    reader = read_header(memoryview(data))
    written = bytearray(data[: reader.position])
    while not reader.at_end:
        kind, alignment, content = _raw_section(reader)
        if kind == STRINGS:
            content = _table(strings)
        written += bytes([kind | (_ALIGNED if alignment else 0)]) + write_number(len(content))
        if alignment:
            written += write_number(alignment)
            written += bytes([PADDING]) * (-len(written) % alignment)
        written += content
    return bytes(written)


def _raw_section(reader: Reader) -> tuple[int, int, bytes]:
    """Read a section: its kind, its alignment or 0, its content."""
    kind, size = reader.byte(), reader.number()
    alignment = reader.number() if kind & _ALIGNED else 0
    if alignment:
        reader.align(alignment)
    return kind & ~_ALIGNED, alignment, bytes(reader.take(size))


def _table(strings: list[str]) -> bytes:
    texts = [text.encode() + b"\0" for text in strings]
    sizes = b"".join(write_number(len(text)) for text in reversed(texts))
    return write_number(len(texts)) + sizes + b"".join(texts)
