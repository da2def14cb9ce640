"""The tree of operations of MLIR bytecode.

The body of an operation that is isolated from above is read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from mobilesdk.coreai.reader import Reader, at
from mobilesdk.errors import FileRejected

MAX_DEPTH = 64

OPERATIONS = 4
"""Kind of the section that holds operations."""

_HAS_ATTRIBUTES, _HAS_RESULTS, _HAS_OPERANDS, _HAS_SUCCESSORS = 1, 2, 4, 8
_HAS_REGIONS, _HAS_USE_ORDERS, _HAS_PROPERTIES = 16, 32, 64


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        name: With its dialect: ``aicode.primitive.conv2d_v1``.
        operands: Numbers of the values that it takes; unique within what it is isolated from.
        results: Numbers of the values that it gives.
        types: Places of their types in the table of types.
        properties: Its properties as bytes; empty if it has none.
        regions: Bodies that see the values around them, block by block.
        isolated: Reads bodies that do not.
    """

    name: str
    operands: tuple[int, ...]
    results: tuple[int, ...]
    types: tuple[int, ...]
    properties: memoryview
    regions: tuple[tuple[Block, ...], ...] = ()
    isolated: Callable[[], tuple[tuple[Block, ...], ...]] | None = None

    def blocks(self) -> Iterator[Block]:
        """Give the blocks of all bodies."""
        for region in self.isolated() if self.isolated else self.regions:
            yield from region


@dataclass(frozen=True)
class Block:
    """Operations in order.

    Attributes:
        arguments: Number of each value that it begins with, and the place of its type.
        operations: Its operations.
    """

    arguments: tuple[tuple[int, int], ...]
    operations: tuple[Operation, ...]


def read_operations(
    reader: Reader, names: tuple[str, ...], properties: tuple[memoryview, ...]
) -> Block:
    """Read the operations at the top of a file.

    Args:
        reader: Of the section.
        names: Names of operations, by their numbers.
        properties: Properties, by their numbers.

    Raises:
        FileRejected: They are damaged.
    """
    return _Tree(names, properties).block(reader, _Scope({}, count(), 0), 0)


class _Tree:
    """Reads operations, and gives every value a number of its own."""

    def __init__(self, names: tuple[str, ...], properties: tuple[memoryview, ...]) -> None:
        self._names = names
        self._properties = properties
        self._values = count()

    def block(self, reader: Reader, scope: _Scope, depth: int) -> Block:
        """Read a block."""
        operation_count, has_arguments = reader.flagged()
        arguments: list[tuple[int, int]] = []
        if has_arguments:
            for _ in range(reader.number()):
                place, has_location = reader.flagged()
                if has_location:
                    reader.number()
                arguments.append((self._define(scope), place))
            if reader.byte():
                _skip_use_orders(reader, len(arguments))
        operations = (self._operation(reader, scope, depth) for _ in range(operation_count))
        return Block(tuple(arguments), tuple(operations))

    def _define(self, scope: _Scope) -> int:
        value = next(self._values)
        scope.values[next(scope.places)] = value
        return value

    def _operation(self, reader: Reader, scope: _Scope, depth: int) -> Operation:
        name, mask = at(self._names, reader.number()), reader.byte()
        reader.number()  # the location
        if mask & (_HAS_ATTRIBUTES | _HAS_SUCCESSORS):
            raise FileRejected(f"{name} has attributes or branches, which none has in Core AI.")
        has = mask & _HAS_PROPERTIES
        properties = at(self._properties, reader.number()) if has else memoryview(b"")
        types = reader.numbers() if mask & _HAS_RESULTS else []
        operands = reader.numbers() if mask & _HAS_OPERANDS else []
        if any(place not in scope.values for place in operands):
            raise FileRejected(f"MLIR bytecode is damaged: {name} takes what nothing gives.")
        taken = tuple(scope.values[place] for place in operands)
        if mask & _HAS_USE_ORDERS:
            _skip_use_orders(reader, len(types))
        results = tuple(self._define(scope) for _ in types)
        operation = Operation(name, taken, results, tuple(types), properties)
        if not mask & _HAS_REGIONS:
            return operation
        if depth >= MAX_DEPTH:
            raise FileRejected(f"The program is nested deeper than {MAX_DEPTH} bodies.")
        region_count, is_isolated = reader.flagged()
        if not is_isolated:
            regions = tuple(self._region(reader, scope, depth + 1) for _ in range(region_count))
            return replace(operation, regions=regions)
        kind, content = reader.section()
        if kind != OPERATIONS:
            raise FileRejected(f"MLIR bytecode is damaged: section {kind} for a body.")
        start, data = content.position, content.rest()

        def read() -> tuple[tuple[Block, ...], ...]:
            body, inner = Reader(data, start), _Scope({}, count(), 0)
            return tuple(self._region(body, inner, depth + 1) for _ in range(region_count))

        return replace(operation, isolated=read)

    def _region(self, reader: Reader, scope: _Scope, depth: int) -> tuple[Block, ...]:
        """Read a body; its values are numbered behind those of the bodies around it."""
        block_count = reader.number()
        if not block_count:
            return ()
        end = scope.end + reader.number()
        inner = _Scope(dict(scope.values), count(scope.end), end)
        return tuple(self.block(reader, inner, depth) for _ in range(block_count))


@dataclass(frozen=True)
class _Scope:
    """The values that an operation sees.

    Attributes:
        values: Number in the file → number given here.
        places: The next numbers in the file.
        end: First number in the file that no value here has.
    """

    values: dict[int, int]
    places: Iterator[int]
    end: int


def _skip_use_orders(reader: Reader, value_count: int) -> None:
    """Skip the order in which values are used, which only matters to who edits the program."""
    for _ in range(reader.number() if value_count > 1 else 1):
        if value_count > 1:
            reader.number()
        size, _ = reader.flagged()
        for _ in range(size):
            reader.number()
