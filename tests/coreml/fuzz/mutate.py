"""Damage: protobuf messages changed in their structure or in their bytes; weight files; manifests.

A message is read without its schema: what can be read as a message is taken for one.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from mobilesdk.coreml.wire import FIXED32, FIXED64, LENGTH, VARINT, iterate, write_varint
from mobilesdk.errors import FileRejected

MAX_CHANGES = 3
EDGES = (0, 1, 2, 3, 7, 63, 64, 127, 255, 1 << 15, 65536, (1 << 31) - 1, 1 << 31, 1 << 40)
SIGNED_EDGES = ((1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 2, (1 << 64) - 64)
PATHS = (
    "../model.mlmodel", "/etc/passwd", "com.apple.CoreML/../../../etc/passwd", "", ".", "a\0b",
    "@model_path/../../Manifest.json", "@model_path//etc/passwd", "@model_path/weights",
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    """The three files of a package."""

    manifest: bytes
    model: bytes
    weights: bytes


@dataclass
class Field:
    """A field of a message: a number, fixed bytes, text or bytes, or fields."""

    number: int
    wire_type: int
    value: int | bytes | list[Field]


def parse(data: bytes, depth: int = 0) -> list[Field]:
    """Read a message; nested ones where the bytes allow it.

    Raises:
        FileRejected: It is none.
    """
    return [_field(*item, depth) for item in iterate(memoryview(data))]


def _field(number: int, wire_type: int, value: int | memoryview, depth: int) -> Field:
    if isinstance(value, int):
        return Field(number, wire_type, value)
    content = bytes(value)
    if wire_type == LENGTH and content and depth < 40:
        try:
            return Field(number, wire_type, parse(content, depth + 1))
        except FileRejected:
            pass
    return Field(number, wire_type, content)


def serialize(fields: list[Field]) -> bytes:
    """Write a message."""
    return b"".join(map(_written, fields))


def _written(field: Field) -> bytes:
    key = write_varint(field.number << 3 | field.wire_type)
    if isinstance(field.value, int):
        return key + write_varint(field.value)
    content = serialize(field.value) if isinstance(field.value, list) else field.value
    size = write_varint(len(content)) if field.wire_type == LENGTH else b""
    return key + size + content


def lists(fields: list[Field]) -> Iterator[list[Field]]:
    """Go over the lists of fields of a message and all in it."""
    yield fields
    for field in fields:
        if isinstance(field.value, list):
            yield from lists(field.value)


class Mutator:
    """Damages packages; the same number always does the same."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)

    def seed(self, seeds: list[Files]) -> Files:
        """Choose what is damaged."""
        return self._random.choice(seeds)

    def damage(self, files: Files) -> Files:
        """Damage one of the files, mostly the model."""
        kind = self._random.random()
        if kind < 0.70:
            return replace(files, model=self._structure(files.model))
        if kind < 0.80:
            return replace(files, model=self._bytes(files.model))
        if kind < 0.95:
            return replace(files, weights=self._weights(files.weights))
        return replace(files, manifest=self._manifest(files.manifest))

    def _structure(self, model: bytes) -> bytes:
        fields = parse(model)
        for _ in range(self._random.randint(1, MAX_CHANGES)):
            places = [place for place in lists(fields) if place]
            self._change(self._random.choice(places), places)
        return serialize(fields)

    def _change(self, place: list[Field], places: list[list[Field]]) -> None:
        index = self._random.randrange(len(place))
        field = place[index]
        kind = self._random.random()
        if kind < 0.08:
            del place[index]
        elif kind < 0.12:
            place.insert(index, deepcopy(field))
        elif kind < 0.18:
            other = self._random.randrange(len(place))
            place[index], place[other] = place[other], place[index]
        elif kind < 0.21:
            place[index] = replace(field, number=self._random.randint(1, 32))
        elif kind < 0.23:
            place[index] = Field(field.number, *self._of_another_type())
        elif kind < 0.60:
            place[index] = self._like(field, places)
        else:
            place[index] = replace(field, value=self._value(field.value))

    def _of_another_type(self) -> tuple[int, int | bytes]:
        wire_type = self._random.choice((VARINT, FIXED64, LENGTH, FIXED32))
        sizes = {FIXED64: 8, FIXED32: 4, LENGTH: self._random.randint(0, 20)}
        if wire_type == VARINT:
            return wire_type, self._random.choice(EDGES)
        return wire_type, self._random.randbytes(sizes[wire_type])

    def _like(self, field: Field, places: list[list[Field]]) -> Field:
        """Give another field with the same number and type from anywhere in the message."""
        same = [
            other
            for place in places
            for other in place
            if (other.number, other.wire_type) == (field.number, field.wire_type)
        ]
        return deepcopy(self._random.choice(same))  # it may be one that this one lies in

    def _value(self, value: Any) -> int | bytes | list[Field]:
        if isinstance(value, int):
            near = (value + 1, max(value - 1, 0), value * 2, value // 2)
            return self._random.choice((*EDGES, *SIGNED_EDGES, *near)) % (1 << 64)
        if isinstance(value, list):
            inner = deepcopy(value)
            places = [place for place in lists(inner) if place]
            if places:
                self._change(self._random.choice(places), places)
            return inner
        if self._random.random() < 0.1:
            return self._random.choice(PATHS).encode()
        return self._bytes(value)

    def _bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.randint(1, MAX_CHANGES)):
            at = self._random.randrange(len(changed) + 1)
            kind = self._random.randrange(5)
            if kind == 0 and at < len(changed):
                changed[at] ^= 1 << self._random.randrange(8)
            elif kind == 1 and at < len(changed):
                changed[at] = self._random.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                changed[at:at] = self._random.randbytes(self._random.randint(1, 4))
            elif kind == 3:
                del changed[at : at + self._random.randint(1, 8)]
            elif kind == 4 and self._random.random() < 0.2:
                del changed[at:]
        return bytes(changed)

    def _weights(self, weights: bytes) -> bytes:
        records = len(weights) // 64
        if not records or self._random.random() < 0.3:
            return self._bytes(weights)
        changed = bytearray(weights)
        offset = 64 * self._random.randrange(records)
        place, size = self._random.choice(((0, 4), (4, 4), (8, 8), (16, 8), (24, 8)))
        value = self._random.choice((*EDGES, *SIGNED_EDGES)) % (1 << 8 * size)
        struct.pack_into("<I" if size == 4 else "<Q", changed, offset + place, value)
        return bytes(changed)

    def _manifest(self, manifest: bytes) -> bytes:
        if self._random.random() < 0.5:
            return self._bytes(manifest)
        content = json.loads(manifest)
        entry = self._random.choice(sorted(content["itemInfoEntries"]))
        changes: tuple[Callable[[], Any], ...] = (
            lambda: content["itemInfoEntries"][entry].update(path=self._random.choice(PATHS)),
            lambda: content.update(rootModelIdentifier=self._random.choice((1, "b", None, []))),
            lambda: content.update(itemInfoEntries=[entry]),
            lambda: content["itemInfoEntries"].update({entry: 7}),
        )
        self._random.choice(changes)()
        return json.dumps(content).encode()
