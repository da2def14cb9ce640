"""Constants of a function as an operation takes them: tensors, texts, lists; decoded once."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from torch import Tensor

from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.faults import refusal
from mobilesdk.coreml.live_memory import LiveMemory
from mobilesdk.coreml.non_finite import NonFinite, found_in, is_finite
from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.coreml.precision import carrier, carry
from mobilesdk.coreml.program import Operation, TensorType, Value
from mobilesdk.coreml.results import check_declared
from mobilesdk.errors import FileRejected


class Literals:
    """The constants of a function and the values written in place.

    Attributes:
        non_finite: Those decoded so far that are not finite.
    """

    def __init__(self, constants: Constants, max_elements: int, memory: LiveMemory) -> None:
        """Take the constants; none may have more elements than so many, nor all too much memory."""
        self.non_finite: list[NonFinite] = []
        self._constants = constants
        self._max_elements = max_elements
        self._memory = memory
        self._cells: dict[str, Callable[[], Any]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._constants

    def named(self, name: str) -> Callable[[], Any]:
        """Give a constant by name, to be decoded when it is first called."""
        if name not in self._cells:
            self._cells[name] = _once(lambda: self._read(name))
        return self._cells[name]

    def written(self, value: Value, operation: Operation, parameter: str) -> Callable[[], Any]:
        """Give an argument of an operation that is written in place, decoded when first called."""
        return _once(lambda: self._content(value, "const", f"{parameter} of {operation.name}"))

    def _read(self, name: str) -> Any:
        operation = self._constants.operation(name)
        if operation.type == "const" and not _is_numeric(operation.attributes["val"]):
            return self._content(operation.attributes["val"], operation.type, name)
        declared = self._constants.declared(name)
        size_bytes = self._admitted(f"{operation.type} {name}", declared)
        decoded = self._constants.decode(name)
        is_text = declared.element is ElementType.STRING
        if is_text or (decoded.dtype, decoded.shape) != (declared.element.numpy, declared.shape):
            raise FileRejected(
                f"ML Program: the constant {name!r} is declared {declared.element}"
                f"{list(declared.shape or ())}, stored {decoded.dtype}{list(decoded.shape)}."
            )
        value = carry(decoded, declared.element, lasting=True)
        self._constants.release()
        self._memory.keep(size_bytes)
        return self._looked_at(value, operation.type, name)

    def _content(self, value: Value, op_type: str, name: str) -> Any:
        if not isinstance(value.type, TensorType):
            if not isinstance(value.content, tuple):
                raise FileRejected("ML Program: a list has no items.")
            items = (item for item in value.content if isinstance(item, Value))
            return [self._content(item, op_type, name) for item in items]
        if value.type.element is ElementType.STRING:
            return _texts(value)
        size_bytes = self._admitted(f"{op_type} {name}", value.type)
        carried = carry(self._constants.value(value), value.type.element)
        self._memory.keep(size_bytes)
        return self._looked_at(carried, op_type, name)

    def _admitted(self, where: str, declared: TensorType) -> int:
        """Hold a constant to the limits; give the bytes that it takes."""
        check_declared(where, declared, self._max_elements)
        size_bytes: int = prod(declared.static_shape()) * carrier(declared.element).itemsize
        try:
            self._memory.check_room(size_bytes)
        except TooLarge as error:
            raise refusal(where, error) from error
        return size_bytes

    def _looked_at(self, value: Tensor, op_type: str, name: str) -> Tensor:
        if not is_finite(value):
            self.non_finite.append(found_in(value, name, op_type, name))
        return value


def _is_numeric(value: Value) -> bool:
    of = value.type
    return isinstance(of, TensorType) and of.element is not ElementType.STRING


def _texts(value: Value) -> Any:
    if not isinstance(value.type, TensorType) or value.type.shape is None:
        raise FileRejected("ML Program: a text has no shape.")
    if not value.type.shape:
        return value.text()
    return list(value.content) if isinstance(value.content, tuple) else []


def _once(read: Callable[[], Any]) -> Callable[[], Any]:
    values: list[Any] = []

    def get() -> Any:
        if not values:
            values.append(read())
        return values[0]

    return get
