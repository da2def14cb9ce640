"""Packages made byte by byte, without coremltools, so that tests can damage them anywhere."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobilesdk.coreml.wire import write_bytes, write_varint
from mobilesdk.numerics.packing import pack

NUMBERS = {
    "float16": 10,
    "float32": 11,
    "float64": 12,
    "int8": 21,
    "int32": 23,
    "int4": 25,
    "uint8": 31,
}
NUMBERS |= {"uint32": 33, "uint4": 35, "uint2": 36, "uint1": 37, "uint6": 38, "uint3": 39}
BLOB_NUMBERS = {"float16": 1, "float32": 2, "uint8": 3, "int8": 4, "int4": 8, "uint1": 9}
BLOB_NUMBERS |= {"uint2": 10, "uint4": 11, "uint3": 12, "uint6": 13, "int32": 14, "uint32": 15}
STRING = 2


def number(field_number: int, value: int) -> bytes:
    return write_varint(field_number << 3) + write_varint(value)


def entry(key: str, value: bytes) -> bytes:
    return write_bytes(1, key.encode()) + write_bytes(2, value)


def value_type(dtype: int, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(write_bytes(3, write_bytes(1, number(1, size))) for size in shape)
    return write_bytes(1, number(1, dtype) + number(2, len(shape)) + dimensions)


def named(name: str, of: bytes) -> bytes:
    return write_bytes(1, name.encode()) + write_bytes(2, of)


def text(value: str) -> bytes:
    content = write_bytes(4, write_bytes(1, value.encode()))
    return write_bytes(2, value_type(STRING, ())) + write_bytes(3, write_bytes(1, content))


def raw(values: np.ndarray, dtype: str) -> bytes:
    bits = int("".join(filter(str.isdigit, dtype)))
    if bits >= 8:
        return values.astype(dtype).tobytes()
    return pack(values.astype(np.int8).view(np.uint8) & ((1 << bits) - 1), bits).tobytes()


@dataclass
class WeightFile:
    """Builds a weight file; every record can be told a lie."""

    data: bytearray = field(default_factory=lambda: bytearray(64))
    count: int = 0

    def add(self, values: np.ndarray, dtype: str, **lies: int) -> int:
        content = raw(values, dtype)
        bits = int("".join(filter(str.isdigit, dtype)))
        offset = len(self.data)
        record = {
            "sentinel": 0xDEADBEEF,
            "number": BLOB_NUMBERS[dtype],
            "size": len(content),
            "start": offset + 64,
            "unused": len(content) * 8 - values.size * bits,
        } | lies
        self.data += struct.pack("<IIQQQ", *record.values()).ljust(64, b"\0")
        self.data += content.ljust(-(-len(content) // 64) * 64, b"\0")
        self.count += 1
        return offset

    def content(self) -> bytes:
        self.data[:8] = struct.pack("<II", self.count, 2)
        return bytes(self.data)


@dataclass
class Builder:
    """Builds a program operation by operation, and the package around it."""

    weights: WeightFile = field(default_factory=WeightFile)
    operations: list[bytes] = field(default_factory=list)

    def stored(self, values: np.ndarray, dtype: str, **lies: int) -> bytes:
        """Put values into the weight file; give the reference to them."""
        offset = self.weights.add(values, dtype, **lies)
        return self.reference(offset, dtype, values.shape)

    @staticmethod
    def reference(
        offset: int,
        dtype: str,
        shape: tuple[int, ...],
        file: str = "@model_path/weights/weight.bin",
    ) -> bytes:
        blob = write_bytes(1, file.encode()) + number(2, offset)
        return write_bytes(2, value_type(NUMBERS[dtype], shape)) + write_bytes(5, blob)

    @staticmethod
    def inline(values: np.ndarray, dtype: str) -> bytes:
        content = write_bytes(7, write_bytes(1, raw(values, dtype)))
        of = value_type(NUMBERS[dtype], values.shape)
        return write_bytes(2, of) + write_bytes(3, write_bytes(1, content))

    def add(
        self,
        op: str,
        inputs: dict[str, bytes | str],
        outputs: list[tuple[str, str, tuple[int, ...]]],
        attributes: dict[str, bytes] | None = None,
    ) -> None:
        message = write_bytes(1, op.encode())
        for key, given in inputs.items():
            kind, content = (1, given.encode()) if isinstance(given, str) else (2, given)
            message += write_bytes(2, entry(key, write_bytes(1, write_bytes(kind, content))))
        for name, dtype, shape in outputs:
            message += write_bytes(3, named(name, value_type(NUMBERS[dtype], shape)))
        for key, given in {"name": text(outputs[0][0]), **(attributes or {})}.items():
            message += write_bytes(5, entry(key, given))
        self.operations.append(message)

    def constant(self, name: str, values: np.ndarray, dtype: str, **lies: int) -> None:
        value = self.stored(values, dtype, **lies)
        self.add("const", {}, [(name, dtype, values.shape)], {"val": value})

    def consume(self, name: str, op: str = "linear", parameter: str = "weight") -> None:
        inputs: dict[str, bytes | str] = {"x": "x", parameter: name}
        self.add(op, inputs, [(f"{name}_used", "float16", (1, 4))])

    def model(self) -> bytes:
        block = write_bytes(2, b"y") + b"".join(write_bytes(3, item) for item in self.operations)
        inputs = write_bytes(1, named("x", value_type(NUMBERS["float16"], (1, 4))))
        function = inputs + write_bytes(2, b"CoreML7") + write_bytes(3, entry("CoreML7", block))
        program = number(1, 1) + write_bytes(2, entry("main", function))
        array = write_varint(1 << 3 | 2) + bytes([2, 1, 4]) + number(2, 0x10000 | 16)
        feature = write_bytes(1, b"x") + write_bytes(3, write_bytes(5, array))
        description = write_bytes(1, feature) + write_bytes(
            100, write_bytes(100, entry("com.github.apple.coremltools.conversion_date", b"today"))
        )
        return number(1, 9) + write_bytes(2, description) + write_bytes(502, program)

    def package(self, root: Path) -> Path:
        return write_package(root, self.model(), self.weights.content())


def write_package(root: Path, model: bytes, weights: bytes, **manifest: object) -> Path:
    folder = root / "Data" / "com.apple.CoreML"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.mlmodel").write_bytes(model)
    (folder / "weights" / "weight.bin").write_bytes(weights)
    content = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            "a": {"path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel"},
            "b": {"path": "com.apple.CoreML/weights", "name": "weights"},
        },
        "rootModelIdentifier": "a",
    } | manifest
    (root / "Manifest.json").write_text(json.dumps(content))
    return root
