"""The constants of one function: found by name, decoded on demand, measured as stored."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.constexpr import decoder, is_constant
from mobilesdk.coreml.dtypes import ElementType, packed_size
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import BlobReference, Function, Operation, TensorType, Value
from mobilesdk.errors import FileRejected

MAX_CHAIN = 8
# The values of a constant, or all results of its operation; or what contradicts itself in it.
Decoded = NDArray[Any] | tuple[str, ...]
Results = list[NDArray[Any]] | tuple[str, ...]


class Constants:
    """Every ``const`` and ``constexpr_*`` operation of a function, those of nested blocks too."""

    def __init__(self, package: Package, function: Function) -> None:
        """Index the constants.

        Raises:
            FileRejected: Two have one name, or one refers to something that is not a constant
                before it.
        """
        self._package = package
        self._operations: dict[str, tuple[Operation, int]] = {}
        self._depths: dict[str, int] = {}
        for operation in function.block.walk():
            if is_constant(operation.type):
                self._add(operation)

    def _add(self, operation: Operation) -> None:
        inner = [name for name in bindings_of(operation).values() if isinstance(name, str)]
        unknown = [name for name in inner if name not in self._operations]
        if unknown:
            raise FileRejected(f"ML Program: {operation.name} takes {unknown[0]!r}, no constant.")
        depth = 1 + max((self._depths[name] for name in inner), default=0)
        if depth > MAX_CHAIN:
            raise FileRejected(f"ML Program: {operation.name} nests more than {MAX_CHAIN} deep.")
        for index, output in enumerate(operation.outputs):
            if output.name in self._operations:
                raise FileRejected(f"ML Program: two constants are named {output.name!r}.")
            self._operations[output.name] = operation, index
            self._depths[output.name] = depth

    def __contains__(self, name: object) -> bool:
        return name in self._operations

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def operation(self, name: str) -> Operation:
        """Give the operation that makes a constant."""
        return self._operations[name][0]

    def chain(self, name: str) -> list[Operation]:
        """Give the operation of a constant and all that it is made from, outermost first."""
        names = [name]
        for each in names:  # it grows
            inner = bindings_of(self.operation(each)).values()
            names += [item for item in inner if isinstance(item, str) and item not in names]
        return list({id(item): item for item in map(self.operation, names)}.values())

    def declared(self, name: str) -> TensorType:
        """Give the declared type of a constant.

        Raises:
            FileRejected: It is not a tensor.
        """
        operation, index = self._operations[name]
        of = operation.outputs[index].type
        if not isinstance(of, TensorType):
            raise FileRejected(f"ML Program: the constant {name!r} is not a tensor.")
        return of

    def read(self, name: str) -> Decoded:
        """Decode a constant to the values that the program computes with.

        Returns:
            The values; or what contradicts itself, if it cannot be decoded for that.

        Raises:
            FileRejected: The weight file is damaged, or an operation is not known.
        """
        return self._read(name, {})

    def _read(self, name: str, done: dict[str, Results]) -> Decoded:
        """Decode a constant; operations that are ``done`` are not decoded again."""
        operation, index = self._operations[name]
        first = operation.outputs[0].name
        if first not in done:
            done[first] = self._results(operation, done)
        results = done[first]
        if isinstance(results, tuple):
            return results
        if index >= len(results):
            raise FileRejected(f"ML Program: {operation.type} has no result {index}.")
        return results[index]

    def _results(self, operation: Operation, done: dict[str, Results]) -> Results:
        if operation.type == "const":
            return [self.value(operation.attributes["val"])]
        bindings = bindings_of(operation)
        found = decoder(operation.type, bindings)
        elements = {name: self.element(operation, name) for name in bindings}
        faults = found.type_faults(elements)
        if faults:
            return tuple(faults)
        arguments: dict[str, NDArray[Any]] = {}
        for parameter, binding in bindings.items():
            given = self.value(binding) if isinstance(binding, Value) else self._read(binding, done)
            if isinstance(given, tuple):
                return given
            arguments[parameter] = given
        faults = found.faults(arguments) or _table_faults(operation, arguments, elements)
        return tuple(faults) if faults else list(found.decode(arguments))

    def decode(self, name: str) -> NDArray[Any]:
        """Decode a constant to the values that the program computes with.

        Raises:
            FileRejected: Its data are damaged or contradict themselves.
        """
        values = self.read(name)
        if isinstance(values, tuple):
            raise FileRejected(f"ML Program: the constant {name!r} has {'; '.join(values)}.")
        return values

    def argument(self, operation: Operation, parameter: str) -> NDArray[Any] | None:
        """Decode one argument of a compressed constant; None if it is not given."""
        binding = bindings_of(operation).get(parameter)
        if binding is None:
            return None
        return self.value(binding) if isinstance(binding, Value) else self.decode(binding)

    def element(self, operation: Operation, parameter: str) -> ElementType:
        """Give the declared element type of an argument of a compressed constant."""
        binding = bindings_of(operation)[parameter]
        of = binding.type if isinstance(binding, Value) else self.declared(binding)
        if not isinstance(of, TensorType):
            raise FileRejected(f"ML Program: {parameter} of {operation.name} is not a tensor.")
        return of.element

    def release(self) -> None:
        """Give the memory of the stored form of what was decoded back to the system."""
        self._package.release_weights()

    def stored_bytes(self, name: str) -> int:
        """Give the bytes that a constant takes in the file, with its scales, tables and masks."""
        values = [value for item in self.chain(name) for value in _values(item)]
        return sum(_stored_bytes(value) for value in values)

    def value(self, value: Value) -> NDArray[Any]:
        """Read a tensor that is written in place or lies in a weight file.

        Raises:
            FileRejected: It is no tensor, or the weight file is damaged.
        """
        if isinstance(value.content, np.ndarray):
            return value.content
        if not isinstance(value.type, TensorType):
            raise FileRejected("ML Program: a list stands where a tensor is needed.")
        if isinstance(value.content, BlobReference):
            blob = self._package.blob_file(value.content.file)
            shape = value.type.static_shape()
            return blob.read(value.content.offset, value.type.element, shape)
        return np.array(value.text())


def _table_faults(
    operation: Operation,
    arguments: dict[str, NDArray[Any]],
    elements: dict[str, ElementType],
) -> list[str]:
    """Hold tables to an entry for each index, and those of vectors to the declared size.

    A small file may stand for any number of vectors.
    """
    table = arguments.get("lut")
    indices = arguments.get("indices", arguments.get("indices_mask"))
    of = operation.outputs[0].type
    if table is None or indices is None or table.ndim < 2 or not isinstance(of, TensorType):
        return []
    index = elements.get("indices_nonzero_data", elements.get("indices"))
    if index is not None and table.shape[-2] != 1 << index.bits:
        return [f"a table of {table.shape[-2]} entries for indices of {index}"]
    count, declared = indices.size * table.shape[-1], prod(of.static_shape())
    return [] if count == declared else [f"{count} elements where {declared} are declared"]


def bindings_of(operation: Operation) -> dict[str, str | Value]:
    """Give the arguments of a constant: attributes in iOS 16, inputs in iOS 18.

    Raises:
        FileRejected: One is given twice, or as several values; or a plain constant has no value.
    """
    bindings: dict[str, str | Value] = {}
    if operation.type == "const":
        if "val" not in operation.attributes:
            raise FileRejected("ML Program: a constant has no value.")
        return bindings
    bindings.update((key, value) for key, value in operation.attributes.items() if key != "name")
    for parameter, given in operation.inputs.items():
        if len(given) != 1:
            raise FileRejected(f"ML Program: {operation.type} takes {len(given)} {parameter}.")
        if parameter in bindings:
            raise FileRejected(f"ML Program: {operation.name} has {parameter} twice.")
        bindings[parameter] = given[0]
    return bindings


def _values(operation: Operation) -> list[Value]:
    if operation.type == "const":
        return [operation.attributes["val"]]
    return [value for value in bindings_of(operation).values() if isinstance(value, Value)]


def _stored_bytes(value: Value) -> int:
    if not isinstance(value.type, TensorType) or value.type.element is ElementType.STRING:
        return 0
    return packed_size(value.type.element, prod(value.type.static_shape()))
