"""Reading of MLIR bytecode: its header, sections and tables.

What a dialect means by its attributes and types is left to others: they come as bytes.

References:
    https://mlir.llvm.org/docs/BytecodeFormat/
    https://github.com/llvm/llvm-project/blob/main/mlir/lib/Bytecode/Reader/BytecodeReader.cpp
"""

from __future__ import annotations

from dataclasses import dataclass

from mobilesdk.coreai.reader import Reader, at, decode
from mobilesdk.coreai.tree import OPERATIONS, Block, read_operations
from mobilesdk.errors import FileRejected

MAGIC = b"ML\xefR"
VERSION = 6

STRINGS, DIALECTS, ATTRIBUTES, OFFSETS = range(4)
RESOURCES, RESOURCE_OFFSETS = 5, 6
_DIALECT_VERSION, PROPERTIES = 7, 8
_BLOB = 0


@dataclass(frozen=True)
class Bytecode:
    """A file of MLIR bytecode.

    Attributes:
        strings: Its table of texts.
        dialects: Name of each dialect → its version as bytes.
        attributes: Dialect and bytes of each attribute.
        types: Dialect and bytes of each type.
        resources: Name and bytes of each resource.
        block: The operations at the top.
    """

    strings: tuple[str, ...]
    dialects: dict[str, bytes]
    attributes: tuple[tuple[str, memoryview], ...]
    types: tuple[tuple[str, memoryview], ...]
    resources: tuple[tuple[str, memoryview], ...]
    block: Block


def read_bytecode(data: memoryview) -> Bytecode:
    """Read a file.

    Raises:
        FileRejected: It is damaged, or of another version.
    """
    sections = read_sections(data)
    strings = read_strings(_needed(sections, STRINGS))
    dialects, names = _read_dialects(_needed(sections, DIALECTS), strings)
    attributes, types = _read_entries(
        _needed(sections, OFFSETS), _needed(sections, ATTRIBUTES), list(dialects)
    )
    properties = _read_properties(sections[PROPERTIES]) if PROPERTIES in sections else ()
    return Bytecode(
        strings=strings,
        dialects=dialects,
        attributes=attributes,
        types=types,
        resources=_read_resources(sections, strings),
        block=read_operations(_needed(sections, OPERATIONS), names, properties),
    )


def read_header(data: memoryview) -> Reader:
    """Give a reader behind the header.

    Raises:
        FileRejected: It is no MLIR bytecode, or of another version.
    """
    reader = Reader(data)
    if len(data) < len(MAGIC) or bytes(reader.take(len(MAGIC))) != MAGIC:
        raise FileRejected("The program is no MLIR bytecode.")
    version = reader.number()
    if version != VERSION:
        raise FileRejected(
            f"The program is MLIR bytecode of version {version}; this reader knows {VERSION}."
        )
    reader.text()  # who wrote it
    return reader


def read_sections(data: memoryview) -> dict[int, Reader]:
    """Give the sections by the numbers of their kinds."""
    reader = read_header(data)
    sections: dict[int, Reader] = {}
    while not reader.at_end:
        kind, content = reader.section()
        if kind in sections:
            raise FileRejected(f"MLIR bytecode is damaged: section {kind} comes twice.")
        sections[kind] = content
    return sections


def read_strings(reader: Reader) -> tuple[str, ...]:
    """Read the table of texts: the sizes from the last one to the first, then the texts."""
    sizes = reader.numbers()[::-1]
    strings = []
    for size in sizes:
        text = reader.take(size)
        if not size or text[-1]:
            raise FileRejected("MLIR bytecode is damaged: a text has no end.")
        strings.append(decode(text[:-1]))
    return tuple(strings)


def _needed(sections: dict[int, Reader], kind: int) -> Reader:
    if kind not in sections:
        raise FileRejected(f"MLIR bytecode is damaged: section {kind} is missing.")
    return sections[kind]


def _read_dialects(
    reader: Reader, strings: tuple[str, ...]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Give the dialects with their versions, and the names of operations."""
    dialects: dict[str, bytes] = {}
    for _ in range(reader.number()):
        place, has_version = reader.flagged()
        version = b""
        if has_version:
            kind, content = reader.section()
            if kind != _DIALECT_VERSION:
                raise FileRejected(f"MLIR bytecode is damaged: section {kind} for a version.")
            version = bytes(content.rest())
        dialects[at(strings, place)] = version
    name_count = reader.number()
    names = []
    while not reader.at_end:
        dialect = at(list(dialects), reader.number())
        for _ in range(reader.number()):
            place, _ = reader.flagged()
            names.append(f"{dialect}.{at(strings, place)}")
    if len(names) != name_count:
        raise FileRejected(
            f"MLIR bytecode is damaged: {len(names)} names of {name_count} operations."
        )
    return dialects, tuple(names)


Entries = tuple[tuple[str, memoryview], ...]


def _read_entries(offsets: Reader, data: Reader, dialects: list[str]) -> tuple[Entries, Entries]:
    """Give attributes and types, each with its dialect."""
    attribute_count, type_count = offsets.number(), offsets.number()
    entries: list[tuple[str, memoryview]] = []
    while not offsets.at_end:
        dialect = at(dialects, offsets.number())
        for _ in range(offsets.number()):
            size, is_binary = offsets.flagged()
            if not is_binary:
                raise FileRejected("The program has attributes or types in text.")
            entries.append((dialect, data.take(size)))
    if len(entries) != attribute_count + type_count:
        raise FileRejected("MLIR bytecode is damaged: its attributes and types are too few.")
    return tuple(entries[:attribute_count]), tuple(entries[attribute_count:])


def _read_properties(reader: Reader) -> tuple[memoryview, ...]:
    return tuple(reader.take(reader.number()) for _ in range(reader.number()))


def _read_resources(sections: dict[int, Reader], strings: tuple[str, ...]) -> Entries:
    if RESOURCE_OFFSETS not in sections:
        return ()
    offsets, data = sections[RESOURCE_OFFSETS], _needed(sections, RESOURCES)
    if offsets.number():
        raise FileRejected("The program has resources of no dialect.")
    resources = []
    while not offsets.at_end:
        offsets.number()  # the dialect
        for _ in range(offsets.number()):
            name = at(strings, offsets.number())
            size, kind = offsets.number(), offsets.byte()
            start = data.position
            entry = Reader(data.take(size), start)
            if kind != _BLOB:
                raise FileRejected(f"The resource {name} is no array of bytes.")
            alignment, length = entry.number(), entry.number()
            entry.align(alignment)
            resources.append((name, entry.take(length)))
    return tuple(resources)
