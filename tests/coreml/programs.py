"""Programs that can be executed, made byte by byte: several inputs, blocks, states, functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobilesdk.coreml.wire import write_bytes
from tests.coreml import building
from tests.coreml.building import WeightFile, entry, named, number, text

NUMBERS = building.NUMBERS | {"bool": 1, "string": 2, "int16": 22, "int64": 24, "uint16": 32}
ARRAY_TYPES = {"float16": 0x10000 | 16, "float32": 0x10000 | 32, "int32": 0x20000 | 32}
COLOR_LAYOUTS = {"grayscale": 10, "rgb": 20, "bgr": 30}
Shape = tuple[int | None, ...]
Typed = tuple[str, Shape]


@dataclass(frozen=True)
class Text:
    """A text as an argument; a plain ``str`` is the name of a value."""

    value: str


def value_type(dtype: str, shape: Shape) -> bytes:
    dimensions = b"".join(
        write_bytes(3, write_bytes(2, b"") if size is None else write_bytes(1, number(1, size)))
        for size in shape
    )
    return write_bytes(1, number(1, NUMBERS[dtype]) + number(2, len(shape)) + dimensions)


def state_type(dtype: str, shape: Shape) -> bytes:
    return write_bytes(5, write_bytes(1, value_type(dtype, shape)))


def literal(value: Any) -> bytes:
    """Write a value in place: a text, a number, an array; integers are int32, floats float32."""
    if isinstance(value, Text):
        return text(value.value)
    array = np.asarray(value)
    dtype = {"int64": "int32", "float64": "float32"}.get(array.dtype.name, array.dtype.name)
    content = array.astype(dtype)
    if dtype == "bool":
        packed = b"".join(number(1, int(item)) for item in content.ravel())
        held = write_bytes(3, packed)
    else:
        held = write_bytes(7, write_bytes(1, content.tobytes()))
    return write_bytes(2, value_type(dtype, content.shape)) + write_bytes(3, write_bytes(1, held))


def size_range(low: int, high: int) -> bytes:
    return number(1, low) + number(2, high % (1 << 64))


def ranges(*axes: tuple[int, int]) -> bytes:
    """Write the range of each axis of an array; -1 for no highest size."""
    return write_bytes(31, b"".join(write_bytes(1, size_range(*axis)) for axis in axes))


def enumerated(*shapes: tuple[int, ...]) -> bytes:
    """Write the shapes that an array may have."""
    written = (b"".join(number(1, size) for size in shape) for shape in shapes)
    return write_bytes(21, b"".join(write_bytes(1, shape) for shape in written))


def image_ranges(height: tuple[int, int], width: tuple[int, int]) -> bytes:
    sides = write_bytes(1, size_range(*width)) + write_bytes(2, size_range(*height))
    return write_bytes(31, sides)


def any_size(shape: Shape) -> bytes:
    return ranges(*((1, -1) if size is None else (size, size) for size in shape))


@dataclass
class Block:
    """A block; ``op`` adds an operation and gives the name of its first result."""

    inputs: dict[str, Typed] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    operations: list[bytes] = field(default_factory=list)
    weights: WeightFile = field(default_factory=WeightFile)

    def op(
        self,
        kind: str,
        results: Mapping[str, Typed | bytes],
        blocks: tuple[Block, ...] = (),
        attributes: dict[str, bytes] | None = None,
        **arguments: Any,
    ) -> str:
        message = write_bytes(1, kind.encode())
        for parameter, given in arguments.items():
            bindings = given if isinstance(given, list) else [given]
            message += write_bytes(2, entry(parameter, b"".join(map(_binding, bindings))))
        for name, of in results.items():
            written = of if isinstance(of, bytes) else value_type(*of)
            message += write_bytes(3, named(name, written))
        for block in blocks:
            message += write_bytes(4, block.content())
        own = {"name": text(next(iter(results), kind))} | (attributes or {})
        for key, value in own.items():
            message += write_bytes(5, entry(key, value))
        self.operations.append(message)
        return next(iter(results), "")

    def const(self, name: str, values: np.ndarray) -> str:
        """Put an array into the weight file."""
        offset = self.weights.add(values, values.dtype.name)
        reference = building.Builder.reference(offset, values.dtype.name, values.shape)
        return self.op("const", {name: (values.dtype.name, values.shape)}, (), {"val": reference})

    def content(self) -> bytes:
        inputs = b"".join(
            write_bytes(1, named(name, value_type(*of))) for name, of in self.inputs.items()
        )
        outputs = b"".join(write_bytes(2, name.encode()) for name in self.outputs)
        return inputs + outputs + b"".join(write_bytes(3, item) for item in self.operations)


def _binding(given: Any) -> bytes:
    if isinstance(given, str):
        return write_bytes(1, write_bytes(1, given.encode()))
    return write_bytes(1, write_bytes(2, given if isinstance(given, bytes) else literal(given)))


@dataclass
class Function:
    """A function: its body is a block whose inputs are the function's."""

    inputs: dict[str, Typed]
    outputs: tuple[str, ...]
    states: dict[str, Typed] = field(default_factory=dict)
    opset: str = "CoreML8"
    images: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Typed] = field(default_factory=dict)  # outputs that are images
    allowed: dict[str, bytes] = field(default_factory=dict)  # shapes: `ranges`, `enumerated`
    weights: WeightFile = field(default_factory=WeightFile)
    body: Block = field(init=False)

    def __post_init__(self) -> None:
        self.body = Block(outputs=self.outputs, weights=self.weights)

    def message(self) -> bytes:
        types = {name: value_type(*of) for name, of in self.inputs.items()}
        types |= {name: state_type(*of) for name, of in self.states.items()}
        inputs = b"".join(write_bytes(1, named(name, of)) for name, of in types.items())
        body = write_bytes(3, entry(self.opset, self.body.content()))
        return inputs + write_bytes(2, self.opset.encode()) + body

    def features(self, inputs_field: int, outputs_field: int) -> bytes:
        described = ((inputs_field, self.inputs), (outputs_field, self.pictures))
        return b"".join(
            write_bytes(place, self._feature(name, of))
            for place, features in described
            for name, of in features.items()
        )

    def state_features(self) -> bytes:
        """Describe the states, as coremltools does."""
        described = b""
        for name, (dtype, shape) in self.states.items():
            if dtype not in ARRAY_TYPES:  # texts cannot be described
                continue
            sizes = b"".join(number(1, size or 1) for size in shape)
            array = write_bytes(1, sizes + number(2, ARRAY_TYPES[dtype]))
            feature = write_bytes(1, name.encode()) + write_bytes(3, write_bytes(8, array))
            described += write_bytes(13, feature)
        return described

    def _feature(self, name: str, of: Typed) -> bytes:
        dtype, shape = of
        if name in self.images:
            size = number(1, shape[-1] or 0) + number(2, shape[-2] or 0)
            image = size + number(3, COLOR_LAYOUTS[self.images[name]])
            image += self.allowed.get(name, b"")
            return write_bytes(1, name.encode()) + write_bytes(3, write_bytes(4, image))
        sizes = b"".join(number(1, size or 1) for size in shape)
        array = sizes + number(2, ARRAY_TYPES[dtype])
        if self.allowed.get(name) or None in shape:
            array += self.allowed.get(name) or any_size(shape)
        return write_bytes(1, name.encode()) + write_bytes(3, write_bytes(5, array))


def write(root: Path, function: Function, **others: Function) -> Path:
    """Write a package with a function ``main``, and others that share its weight file."""
    functions = {"main": function, **others}
    program = number(1, 1) + b"".join(
        write_bytes(2, entry(name, item.message())) for name, item in functions.items()
    )
    description = function.features(1, 10) + function.state_features()
    if others:
        description = b"".join(
            write_bytes(20, write_bytes(1, name.encode()) + item.features(2, 3))
            for name, item in functions.items()
        ) + write_bytes(21, b"main")
    model = number(1, 9) + write_bytes(2, description) + write_bytes(502, program)
    return building.write_package(root, model, function.weights.content())
