"""Static 8-bit activations: which operations take integers, their ranges, and the rounding there.

The pattern is ``dequantize → op → clamp → quantize``, in the operations of Core AI for it, with one
scale for a whole tensor and no zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from torch.fx import GraphModule, Node

from mobilesdk.core.contract import Contract
from mobilesdk.core.scheme import Observer, WeightRecord
from mobilesdk.core.step import Samples
from mobilesdk.graph.layers import CONVOLUTIONS
from mobilesdk.numerics.ranges import RangeObserver, grid_without_zero_point

_aten = torch.ops.aten
_CONVOLUTIONS = CONVOLUTIONS | {_aten.convolution}
_PRODUCTS = frozenset({_aten.linear, _aten.matmul, _aten.mm, _aten.bmm, _aten.addmm})
_SUM = _aten.add
_POOLS = frozenset({_aten.avg_pool2d, _aten.adaptive_avg_pool2d, _aten.max_pool2d})
_CLAMPS = frozenset({_aten.relu, _aten.relu6, _aten.hardtanh, _aten.clamp})
_INPUTS = {_aten.addmm: (1, 2), _SUM: (0, 1), _aten.matmul: (0, 1), _aten.mm: (0, 1)}
_INPUTS |= {_aten.bmm: (0, 1), _aten.linear: (0, 1)}
_FUNCTIONS = {"conv": _CONVOLUTIONS, "product": _PRODUCTS}


@dataclass(frozen=True)
class Region:
    """The part of a module that takes integers.

    Attributes:
        ops: Operations that take integers.
        outputs: Values that they give, behind a clamp if there is one.
        values: Every value that is to be rounded, in order.
        ranges: Such a value → the one that stands for all of the same range.
    """

    ops: frozenset[Node]
    outputs: frozenset[Node]
    values: tuple[Node, ...]
    ranges: dict[Node, Node]

    def count(self, kind: Literal["conv", "product"]) -> int:
        """Give the number of its operations of a kind."""
        return sum(_packet(op) in _FUNCTIONS[kind] for op in self.ops)


def find_region(module: GraphModule, records: Sequence[WeightRecord]) -> Region:
    """Find what takes integers: all whose weight, if it has one, is stored in 8 bits."""
    weights = {
        record.name
        for record in records
        if record.planned.encoding == "linear" and record.planned.bits == 8
    }
    nodes = list(module.graph.nodes)
    ops = frozenset(node for node in nodes if _takes_integers(node, weights))
    outputs = frozenset(value for op in ops if (value := _given(op)) is not None)
    rounded = outputs | {value for op in ops for value in _taken(op)}
    ordered = tuple(node for node in nodes if node in rounded)
    return Region(ops, outputs, ordered, _shared_ranges(nodes, ordered))


def observe(
    module: GraphModule,
    region: Region,
    contract: Contract,
    samples: Samples,
    observer: Observer,
    report: Callable[..., None],
) -> dict[Node, tuple[float, float]]:
    """Run the float module on every sample.

    Returns:
        The range of each value that stands for others, or for itself.

    Raises:
        StepFailed: A value is not finite.
    """
    observers = {node: RangeObserver(observer, symmetric=True) for node in region.ranges.values()}

    class Watch(torch.fx.Interpreter):  # type: ignore[misc]  # torch is untyped here
        sample = 0

        def run_node(self, node: Node) -> Any:
            value = super().run_node(node)
            if node in region.ranges:
                observers[region.ranges[node]].update(value.numpy(), node.name, self.sample)
            return value

    watch = Watch(module)
    with torch.no_grad():
        for place, sample in enumerate(samples):
            watch.sample = place
            watch.run(*(torch.from_numpy(np.array(sample[spec.name])) for spec in contract.inputs))
            report("observing ranges", (place + 1) / len(samples))
    return {node: found.range() for node, found in observers.items()}


def insert_rounding(
    module: GraphModule, region: Region, ranges: Mapping[Node, tuple[float, float]]
) -> None:
    """Put ``quantize`` and ``dequantize`` behind every value that is to be rounded, in place."""
    import_module("coreai_torch._compression.custom_layers")  # defines the operations
    for place, value in enumerate(region.values):
        users = [
            user
            for user in value.users
            if user in region.ops or (value in region.outputs and user.op != "output")
        ]
        scale, element = grid_without_zero_point(*ranges[region.ranges[value]])
        rounded = _round(module, value, f"activation_{place}_scale", scale, element)
        for user in users:
            user.replace_input_with(value, rounded)
    module.graph.lint()
    module.recompile()


def _round(module: GraphModule, value: Node, name: str, scale: float, element: str) -> Node:
    module.register_buffer(name, torch.tensor(scale, dtype=torch.float32))
    graph, dtype = module.graph, getattr(torch, element)
    after = value if value.op != "placeholder" else _last_placeholder(graph)
    with graph.inserting_after(after):
        read = graph.get_attr(name)
    with graph.inserting_after(read):
        whole = graph.call_function(
            torch.ops.coreai.quantize.default, (value, read, dtype, None, None, 0)
        )
    with graph.inserting_after(whole):
        return graph.call_function(
            torch.ops.coreai.dequantize.default, (whole, read, None, None, 0, dtype, None)
        )


def _last_placeholder(graph: torch.fx.Graph) -> Node:
    return graph.find_nodes(op="placeholder")[-1]


def _takes_integers(node: Node, int8_weights: set[str]) -> bool:
    packet = _packet(node)
    if packet in _CONVOLUTIONS:
        weight = node.args[1]
        return isinstance(weight, Node) and weight.target in int8_weights
    if packet in _PRODUCTS or packet is _SUM:
        given = [node.args[place] for place in _INPUTS[packet]]
        if not all(_is_activation(item) or _is_weight(item, int8_weights) for item in given):
            return False
        sums = packet is _SUM
        return bool(_taken(node)) and not (sums and len(_taken(node)) < len(given))
    return packet in _POOLS and _is_activation(node.args[0])


def _taken(op: Node) -> list[Node]:
    """Give the activations that an operation takes."""
    given = [op.args[place] for place in _INPUTS.get(_packet(op), (0,))]
    return [item for item in given if isinstance(item, Node) and _is_activation(item)]


def _is_activation(value: Any) -> bool:
    if not isinstance(value, Node) or value.op == "get_attr":
        return False
    tensor = value.meta.get("val")
    return isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32


def _is_weight(value: Any, int8_weights: set[str]) -> bool:
    return isinstance(value, Node) and value.op == "get_attr" and value.target in int8_weights


def _given(op: Node) -> Node | None:
    """Give the value that leaves an operation; None if nothing but the output takes it."""
    users = list(op.users)
    clamped = len(users) == 1 and _packet(users[0]) in _CLAMPS
    value = users[0] if clamped else op
    return None if all(user.op == "output" for user in value.users) else value


def _shared_ranges(nodes: Sequence[Node], values: Sequence[Node]) -> dict[Node, Node]:
    """Let what a maximum pool or a concatenation takes and gives have one range.

    These move values: with one range, nothing is rounded twice.
    """
    stands_for = {value: value for value in values}
    for node in nodes:
        joined = [value for value in _moved(node) if value in stands_for]
        ends = {stands_for[value] for value in joined}
        for value, end in stands_for.items():
            if end in ends:
                stands_for[value] = stands_for[joined[0]]
    return stands_for


def _moved(node: Node) -> list[Node]:
    if _packet(node) is _aten.max_pool2d:
        return [node.args[0], node]
    return [*node.args[0], node] if _packet(node) is _aten.cat else []


def _packet(node: Node) -> Any:
    """Give the operation without its overload."""
    return getattr(node.target, "overloadpacket", None)
