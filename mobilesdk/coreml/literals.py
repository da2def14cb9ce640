"""Constants of a function as an operation takes them: tensors, texts, lists; decoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.precision import carry
from mobilesdk.coreml.program import TensorType, Value
from mobilesdk.coreml.results import check_declared
from mobilesdk.errors import FileRejected


class Literals:
    """The constants of a function and the values written in place."""

    def __init__(self, constants: Constants, max_elements: int) -> None:
        """Take the constants; none may have more elements than so many."""
        self._constants = constants
        self._max_elements = max_elements
        self._cells: dict[str, Callable[[], Any]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._constants

    def named(self, name: str) -> Callable[[], Any]:
        """Give a constant by name, to be decoded when it is first called."""
        if name not in self._cells:
            self._cells[name] = _once(lambda: self._read(name))
        return self._cells[name]

    def written(self, value: Value) -> Any:
        """Give a value that is written in place."""
        if not isinstance(value.type, TensorType):
            if not isinstance(value.content, tuple):
                raise FileRejected("ML Program: a list has no items.")
            return [self.written(item) for item in value.content if isinstance(item, Value)]
        if value.type.element is ElementType.STRING:
            return _texts(value)
        return carry(self._constants.value(value), value.type.element)

    def _read(self, name: str) -> Any:
        operation = self._constants.operation(name)
        if operation.type == "const" and not _is_tensor(operation.attributes["val"]):
            return self.written(operation.attributes["val"])
        declared = self._constants.declared(name)
        check_declared(f"{operation.type} {name}", declared, self._max_elements)
        decoded = self._constants.decode(name)
        is_text = declared.element is ElementType.STRING
        if is_text or (decoded.dtype, decoded.shape) != (declared.element.numpy, declared.shape):
            raise FileRejected(
                f"ML Program: the constant {name!r} is declared {declared.element}"
                f"{list(declared.shape or ())}, stored {decoded.dtype}{list(decoded.shape)}."
            )
        value = carry(decoded, declared.element, lasting=True)
        self._constants.release()
        return value


def _is_tensor(value: Value) -> bool:
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
