"""ML Programs as typed values: functions, blocks, operations, values, as MIL.proto has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.dtypes import ElementType, element_type, unpack
from mobilesdk.coreml.wire import Message
from mobilesdk.errors import FileRejected

MAX_ELEMENTS = 1 << 31


@dataclass(frozen=True)
class TensorType:
    """A tensor; a free axis is None, and the whole shape is None when even the rank is free."""

    element: ElementType
    shape: tuple[int | None, ...] | None

    def static_shape(self) -> tuple[int, ...]:
        """Give the shape.

        Raises:
            FileRejected: An axis is free, or there are more elements than any device takes.
        """
        if self.shape is None or None in self.shape:
            raise FileRejected("ML Program: a constant has a free axis.")
        shape = tuple(size for size in self.shape if size is not None)
        if prod(shape) > MAX_ELEMENTS:
            raise FileRejected(f"ML Program: a constant has the shape {shape}.")
        return shape


@dataclass(frozen=True)
class ListType:
    """A list; its length is None when free."""

    item: ValueType
    length: int | None


@dataclass(frozen=True)
class TupleType:
    """A tuple of values."""

    items: tuple[ValueType, ...]


@dataclass(frozen=True)
class DictionaryType:
    """A dictionary."""

    key: ValueType
    value: ValueType


@dataclass(frozen=True)
class StateType:
    """A state that outlives one run."""

    wrapped: ValueType


ValueType = TensorType | ListType | TupleType | DictionaryType | StateType


@dataclass(frozen=True)
class BlobReference:
    """Where in a weight file the data of a constant lie; ``offset`` in bytes, of its record."""

    file: str
    offset: int


@dataclass(frozen=True)
class Value:
    """A constant.

    Attributes:
        type: Its type.
        content: A reference into a weight file; or the data: an array for a tensor of numbers,
            texts for a tensor of strings, values for a list or tuple, pairs for a dictionary.
    """

    type: ValueType
    content: (
        BlobReference
        | NDArray[Any]
        | tuple[str, ...]
        | tuple[Value, ...]
        | tuple[tuple[Value, Value], ...]
    )

    def text(self) -> str:
        """Give the only text of a string scalar.

        Raises:
            FileRejected: It is something else.
        """
        if isinstance(self.content, tuple) and len(self.content) == 1:
            only = self.content[0]
            if isinstance(only, str):
                return only
        raise FileRejected("ML Program: a text was expected.")


@dataclass(frozen=True)
class NamedType:
    """A name with its type: an input, or a result of an operation."""

    name: str
    type: ValueType


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        type: In Core ML's words, e.g. ``conv``.
        inputs: Parameter → the names of results, or values written in place, that it is given.
        outputs: Results.
        attributes: Values that belong to the operation itself (``name``, ``val``, …).
        blocks: Nested blocks (branches, loop bodies); they see the names outside.
    """

    type: str
    inputs: dict[str, tuple[str | Value, ...]]
    outputs: tuple[NamedType, ...]
    attributes: dict[str, Value]
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        """Its name; that of the first result, or the type, when it has none of its own."""
        if "name" in self.attributes:
            return self.attributes["name"].text()
        return self.outputs[0].name if self.outputs else self.type


@dataclass(frozen=True)
class Block:
    """Operations in order of execution, and the names of the results that it gives."""

    inputs: tuple[NamedType, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]

    def walk(self) -> Iterator[Operation]:
        """Go over all operations, those of nested blocks after the one that holds them."""
        for operation in self.operations:
            yield operation
            for block in operation.blocks:
                yield from block.walk()


@dataclass(frozen=True)
class Function:
    """One function: its inputs, and its body for its operation set (``CoreML7`` is iOS 17)."""

    inputs: tuple[NamedType, ...]
    opset: str
    block: Block


@dataclass(frozen=True)
class Program:
    """All functions by name."""

    version: int
    functions: dict[str, Function]


def read_program(message: Message) -> Program:
    """Read ``MILSpec.Program``.

    Raises:
        FileRejected: It breaks the schema.
    """
    functions = {name: _function(name, item) for name, item in message.mapping(2).items()}
    return Program(message.integer(1), functions)


def _function(name: str, message: Message) -> Function:
    opset = message.text(2)
    blocks = message.mapping(3)
    if opset not in blocks:
        raise FileRejected(f"ML Program: function {name!r} has no body for {opset!r}.")
    return Function(_named_types(message.messages(1)), opset, _block(blocks[opset]))


def _block(message: Message) -> Block:
    operations = tuple(_operation(item) for item in message.messages(3))
    return Block(_named_types(message.messages(1)), tuple(message.texts(2)), operations)


def _operation(message: Message) -> Operation:
    return Operation(
        type=message.text(1),
        inputs={name: _argument(item) for name, item in message.mapping(2).items()},
        outputs=_named_types(message.messages(3)),
        attributes={name: read_value(item) for name, item in message.mapping(5).items()},
        blocks=tuple(_block(item) for item in message.messages(4)),
    )


def _argument(message: Message) -> tuple[str | Value, ...]:
    bindings: list[str | Value] = []
    for binding in message.messages(1):
        value = binding.message(2)
        bindings.append(binding.text(1) if value is None else read_value(value))
    return tuple(bindings)


def _named_types(messages: list[Message]) -> tuple[NamedType, ...]:
    return tuple(NamedType(item.text(1), read_type(item.message(2))) for item in messages)


def read_type(message: Message | None) -> ValueType:
    """Read ``MILSpec.ValueType``."""
    number = message.numbers()[0] if message and message.numbers() else 0
    inner = message.message(number) if message and 1 <= number <= 5 else None
    if inner is None:
        raise FileRejected("ML Program: a value has no type that is known.")
    if number == 1:
        return _tensor_type(inner)
    if number == 2:
        return ListType(read_type(inner.message(1)), _dimension(inner.message(2)))
    if number == 3:
        return TupleType(tuple(read_type(item) for item in inner.messages(1)))
    if number == 4:
        return DictionaryType(read_type(inner.message(1)), read_type(inner.message(2)))
    return StateType(read_type(inner.message(1)))


def _tensor_type(message: Message) -> TensorType:
    element = element_type(message.integer(1))
    if message.integer(2) < 0 or any(_is_variadic(item) for item in message.messages(3)):
        return TensorType(element, None)
    shape = tuple(_dimension(item) for item in message.messages(3))
    if message.integer(2) != len(shape):
        raise FileRejected(f"ML Program: rank {message.integer(2)} with the shape {shape}.")
    return TensorType(element, shape)


def _is_variadic(message: Message) -> bool:
    """Tell whether a dimension stands for any number of axes."""
    unknown = message.message(2)
    return unknown is not None and bool(unknown.integer(1))


def _dimension(message: Message | None) -> int | None:
    constant = message.message(1) if message else None
    if constant is None:
        return None
    size = constant.integer(1)
    if size < 0:
        raise FileRejected("ML Program: an axis has 2^63 elements or more.")
    return size


def read_value(message: Message) -> Value:
    """Read ``MILSpec.Value``."""
    of = read_type(message.message(2))
    blob = message.message(5)
    if blob is not None:
        return Value(of, BlobReference(blob.text(1), blob.integer(2)))
    immediate = message.message(3)
    if immediate is None and isinstance(of, ListType):
        return Value(of, ())  # coremltools writes nothing for an empty list
    if immediate is None:
        raise FileRejected("ML Program: a value has no content.")
    if isinstance(of, TensorType):
        return Value(of, _tensor_content(of, immediate.message(1)))
    sequence = immediate.message(2) or immediate.message(3)
    if sequence is not None:
        return Value(of, tuple(read_value(item) for item in sequence.messages(1)))
    dictionary = immediate.message(4) or Message(b"")
    pairs = [(item.message(1), item.message(2)) for item in dictionary.messages(1)]
    return Value(of, tuple((read_value(k), read_value(v)) for k, v in pairs if k and v))


def _tensor_content(of: TensorType, message: Message | None) -> NDArray[Any] | tuple[str, ...]:
    shape = of.static_shape()
    number = message.numbers()[0] if message and message.numbers() else 0
    holder = message.message(number) if message and number else None
    if of.element is ElementType.STRING:
        return tuple(holder.texts(1)) if holder and number == 4 else ()
    values = _numbers(of, number, holder, prod(shape))
    if values.size != prod(shape):
        raise FileRejected(f"ML Program: a constant of shape {shape} has {values.size} elements.")
    return values.reshape(shape)


def _numbers(of: TensorType, number: int, holder: Message | None, count: int) -> NDArray[Any]:
    if holder is None:
        return np.zeros(count, of.element.numpy) if count <= 1 else np.zeros(0, of.element.numpy)
    if number == 7:
        return unpack(holder.content(1) or memoryview(b""), of.element, count)
    if number == 1:
        return holder.floats(1, np.float32).astype(of.element.numpy)
    if number == 6:
        return holder.floats(1, np.float64).astype(of.element.numpy)
    if number not in (2, 3, 5):
        raise FileRejected("ML Program: a constant of numbers holds something else.")
    values = holder.integers(1)
    converted = values.astype(of.element.numpy)
    if not np.array_equal(converted.astype(np.int64), values):
        raise FileRejected(f"ML Program: a constant does not fit {of.element}.")
    return converted
