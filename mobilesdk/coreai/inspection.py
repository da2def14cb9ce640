"""What is inside an asset: its interface, operations and weights, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.contract import DType
from mobilesdk.coreai.integers import integer_values
from mobilesdk.coreai.package import Asset
from mobilesdk.coreai.program import CONSTANT, Graph, Program, makers, short_name
from mobilesdk.coreai.storage import Constants, Stored
from mobilesdk.coreai.tree import Operation
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.fingerprint import fingerprint

_MINIMUM_OS = "iOS 27"  # the first that has Core AI; coreai-core writes for no other
# Operations → places of operands that may be infinite: they compare, choose or bound.
_INFINITE = {
    "broadcasting_where": (1, 2),
    "where": (1, 2),
    "broadcasting_maximum": (0, 1),
    "broadcasting_minimum": (0, 1),
    "pad": (2,),
}
_MASKED = frozenset({"broadcasting_add", "invoke"})  # a mask of minus infinity, before a softmax
_REARRANGED = frozenset({"transpose", "reshape", "slice", "concat", "broadcast_in_dims"})


def inspect_asset(asset: Asset) -> ArtifactInfo:
    """Tell what is inside an asset without running it.

    Raises:
        FileRejected: It is damaged or hostile.
    """
    program = asset.program
    contents = [_read(program, graph) for graph in program.graphs]
    main = program.main
    odd = [name for name, value in main.inputs if _tensor(program, name, value) is None]
    return ArtifactInfo(
        format="coreai",
        size_bytes=asset.size_bytes,
        inputs=_tensors(program, main.inputs),
        outputs=_tensors(program, main.outputs),
        weights=tuple(weight for each in contents for weight in each.weights),
        ops=tuple(op for each in contents for op in each.ops),
        minimum_os=_MINIMUM_OS,
        keeps_names=True,
        problems=tuple(problem for each in contents for problem in each.problems),
        unverifiable=tuple(f"{name!r} is no tensor: a state, say" for name in odd),
    )


@dataclass(frozen=True)
class _Contents:
    weights: tuple[WeightInfo, ...]
    ops: tuple[OpInfo, ...]
    problems: tuple[str, ...]


def _tensors(program: Program, values: tuple[tuple[str, int], ...]) -> tuple[TensorInfo, ...]:
    found = (_tensor(program, name, value) for name, value in values)
    return tuple(tensor for tensor in found if tensor is not None)


def _tensor(program: Program, name: str, value: int) -> TensorInfo | None:
    declared = program.type_of(value)
    if declared is None:
        return None
    if declared.element not in get_args(DType):
        raise FileRejected(f"{name!r} has elements of {declared.element}.")
    return TensorInfo(name=name, shape=declared.shape, dtype=cast("DType", declared.element))


def _read(program: Program, graph: Graph) -> _Contents:
    constants = Constants(program, makers(graph))
    weights: list[WeightInfo] = []
    problems: list[str] = []
    names = op_names(program, graph)
    for value, operation, place in _uses(graph, constants):
        stored = constants.read(value, _channel_axis(graph, operation, place))
        values, where = stored.values, names[operation.results[0]]
        if values.dtype.kind != "f":
            continue
        finite = bool(np.isfinite(values).all())
        if not finite and _may_be_infinite(stored, operation, place):
            continue
        if not finite:
            problems.append(f"a constant of {where} holds numbers that are not finite")
        if values.ndim >= 2:
            name = f"{where}.{place}"
            weights.append(_weight(name, _user(graph, operation, constants), stored, finite))
    ops = _ops(program, graph, constants, names)
    return _Contents(tuple(weights), tuple(ops), tuple(problems))


def _weight(name: str, op: Operation, stored: Stored, finite: bool) -> WeightInfo:
    return WeightInfo(
        name=name,
        op=short_name(op),
        shape=stored.values.shape,
        scheme=stored.scheme,
        vector_size=stored.vector_size,
        size_bytes=stored.size_bytes,
        finite=finite,
        decoded=stored.scheme.encoding != "float",
        fingerprint=fingerprint(stored.values),
    )


def op_names(program: Program, graph: Graph) -> Mapping[int, str]:
    """Name every operation after its type and its place among those of the type.

    Returns:
        Number of the first result → ``conv2d.0``; in other graphs than the first to run, with the
        place of the graph before it.
    """
    prefix = "" if graph is program.main else f"graph{program.graphs.index(graph)}."
    counts: Counter[str] = Counter()
    names = {}
    for operation in graph.operations:
        kind = short_name(operation)
        for result in operation.results[:1]:
            names[result] = f"{prefix}{kind}.{counts[kind]}"
            counts[kind] += 1
    return names


def _uses(graph: Graph, constants: Constants) -> Iterator[tuple[int, Operation, int]]:
    """Give each constant with the first operation that computes with it, and its place there."""
    seen: set[int] = set()
    for operation in graph.operations:
        if not operation.results or operation.results[0] in constants:
            continue
        for place, value in enumerate(operation.operands):
            if value in constants and value not in seen:
                seen.add(value)
                yield value, operation, place


def _user(graph: Graph, operation: Operation, constants: Constants) -> Operation:
    """Give the first operation that takes what a rearranged constant becomes."""
    while short_name(operation) in _REARRANGED and all(
        value in constants for value in operation.operands
    ):
        users = [item for item in graph.operations if operation.results[0] in item.operands]
        if not users:
            break
        operation = users[0]
    return operation


def _channel_axis(graph: Graph, operation: Operation, place: int) -> int | None:
    """Give the axis of the output channels of a weight; None for a constant that is no weight."""
    kind = short_name(operation)
    if kind.startswith("conv_transpose") and place == 1:
        return 1
    if (kind.startswith("conv") and place == 1) or (kind == "gather_nd" and place == 0):
        return 0
    if kind == "transpose" and place == 0:
        for user in graph.operations:
            if operation.results[0] in user.operands:
                return 0 if short_name(user) == "broadcasting_batch_matmul" else None
    if kind == "broadcasting_batch_matmul":
        return 1 if place == 1 else 0
    return None


def _may_be_infinite(stored: Stored, operation: Operation, place: int) -> bool:
    if np.isnan(stored.values).any():
        return False
    kind = short_name(operation)
    if place in _INFINITE.get(kind, ()):
        return True
    return kind in _MASKED and not np.isposinf(stored.values).any()


def _ops(
    program: Program, graph: Graph, constants: Constants, names: Mapping[int, str]
) -> Iterator[OpInfo]:
    """List what computes: no constants, and nothing that only decodes or rearranges them."""
    integers = integer_values(program, graph, constants)
    still = set()
    for operation in graph.operations:
        if operation.name == CONSTANT or not operation.results:
            continue
        result = operation.results[0]
        if all(value in constants or value in still for value in operation.operands):
            still.add(result)
            continue
        declared = program.type_of(result)
        dtype = integers.get(result) or (declared.element if declared else "")
        yield OpInfo(name=names[result], type=short_name(operation), dtype=dtype)
