"""Which ops of a program run in int8 under XNNPACK, and which values share one range.

XNNPACK takes int8 and gives int8 for a fixed set of ops. Some of them only move values (reshape,
maximum pool, concatenation, …): what they take and give has one and the same scale. Ops that it
computes in float32 only stay float, with conversions around them.

A clamp behind a convolution, a matrix product or a sum is not an op of its own: the range of the
int8 output ends where the clamp does, and saturation is the clamp. Quantizing before the clamp
instead (ReLU6 is exported as ``hardtanh``, which the vendor's quantizer does not fuse) would spend
most of the 256 levels on values that the clamp then cuts off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch.fx import Node

_aten = torch.ops.aten

CONVOLUTIONS = frozenset(
    {_aten.conv1d.default, _aten.conv2d.default, _aten.conv1d.padding, _aten.conv2d.padding}
)
TRANSPOSED = frozenset({_aten.conv_transpose2d.input})
WEIGHTED = CONVOLUTIONS | TRANSPOSED | {_aten.linear.default}
ARITHMETIC = frozenset({_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor})
_MOVES = frozenset(
    {
        _aten.view.default,
        _aten.reshape.default,
        _aten.flatten.using_ints,
        _aten.unsqueeze.default,
        _aten.permute.default,
        _aten.transpose.int,
        _aten.max_pool2d.default,
    }
)
_CLAMPS = frozenset({_aten.relu.default, _aten.hardtanh.default, _aten.clamp.default})


@dataclass
class Regions:
    """The int8 part of a graph.

    Attributes:
        ops: Ops that take and give int8.
        computing: Those of ``ops`` whose output has a range of its own.
        clamps: Op → the clamp that the range of its output stands for.
        pads: Zero pads that a convolution takes in with the scale of its input.
        ranges: Value → the value that stands for all values of the same range.
    """

    ops: set[Node] = field(default_factory=set)
    computing: set[Node] = field(default_factory=set)
    clamps: dict[Node, Node] = field(default_factory=dict)
    pads: set[Node] = field(default_factory=set)
    ranges: dict[Node, Node] = field(default_factory=dict)

    def output(self, op: Node) -> Node:
        """Give the value that an op gives: its own, or that of the clamp behind it."""
        return self.clamps.get(op, op)

    def takes_int8(self, user: Node) -> bool:
        """Tell whether an op takes int8 values."""
        return user in self.ops or user in self.pads


def find_regions(graph: torch.fx.Graph, int8_weights: set[str]) -> Regions:
    """Find the int8 part of a graph.

    Args:
        graph: Of a flat program; values carry their shapes and dtypes.
        int8_weights: Names of the weights that are to be stored as 8-bit integers; an op whose
            weight is not among them stays float.
    """
    computing = [node for node in graph.nodes if _computes(node, int8_weights)]
    regions = Regions(computing=set(computing))
    shared = _Sets()
    moving = [node for node in graph.nodes if _moves(node)]
    for op in computing:
        clamp = _clamp_behind(op)
        if clamp is not None:
            regions.clamps[op] = clamp
        if op.target in CONVOLUTIONS and _is_zero_pad(op.args[0]):
            regions.pads.add(_node(op.args[0]))
    absorbed = set(regions.clamps.values())
    moving = [op for op in moving if op not in absorbed]
    for op in moving:
        for value in taken_values(op):
            shared.join(op, value)
    int8_sets = {shared.find(value) for op in computing for value in _values(regions, op)}
    ordered = [*computing, *(op for op in moving if shared.find(op) in int8_sets)]
    regions.ops = set(ordered)
    for op in ordered:
        for value in _values(regions, op):
            regions.ranges[value] = shared.find(value)
    return regions


def taken_values(op: Node) -> list[Node]:
    """Give the float values that an op takes, without weights and biases, behind zero pads."""
    if op.target is _aten.cat.default:
        sources: Iterable[object] = op.args[0]
    elif op.target in ARITHMETIC:
        sources = op.args[:2]
    else:
        sources = op.args[:1]
    if op.target in CONVOLUTIONS and _is_zero_pad(op.args[0]):
        sources = _node(op.args[0]).args[:1]
    return [source for source in sources if isinstance(source, Node)]


def is_float(value: object) -> bool:
    """Tell whether something is a float32 tensor of a graph."""
    held = value.meta.get("val") if isinstance(value, Node) else None
    return isinstance(held, torch.Tensor) and held.dtype == torch.float32


class _Sets:
    """Disjoint sets of values."""

    def __init__(self) -> None:
        self._parents: dict[Node, Node] = {}

    def find(self, value: Node) -> Node:
        while (parent := self._parents.get(value, value)) is not value:
            value = parent
        return value

    def join(self, one: Node, other: Node) -> None:
        one, other = self.find(one), self.find(other)
        if one is not other:
            self._parents[one] = other


def _values(regions: Regions, op: Node) -> list[Node]:
    return [regions.output(op), *taken_values(op)]


def _computes(node: Node, int8_weights: set[str]) -> bool:
    """Tell whether an op computes in int8: its output has a range of its own."""
    if not is_float(node) or not all(map(is_float, taken_values(node))):
        return False
    if node.target in WEIGHTED:
        weight = node.args[1]
        named = isinstance(weight, Node) and weight.op == "get_attr"
        return named and str(_node(weight).target) in int8_weights and _has_kernel(node)
    if node.target in ARITHMETIC:
        return bool(node.kwargs.get("alpha", 1) == 1)
    return _is_global_average(node)


def _has_kernel(node: Node) -> bool:
    return node.target not in TRANSPOSED or (len(node.args) < 7 or node.args[6] == 1)


def _is_global_average(node: Node) -> bool:
    if node.target is _aten.adaptive_avg_pool2d.default:
        return node.args[1] in ([1, 1], [1], 1)
    if node.target is not _aten.mean.dim or node.args[0].meta["val"].dim() != 4:
        return False
    axes = sorted(axis % 4 for axis in node.args[1])
    return axes == [2, 3] and len(node.args) > 2 and bool(node.args[2])


def _moves(node: Node) -> bool:
    """Tell whether an op gives values that it takes, so that scales in and out are the same."""
    if not is_float(node) or not all(map(is_float, taken_values(node))):
        return False
    if node.target is _aten.slice.Tensor:
        return len(node.args) < 5 or node.args[4] == 1
    if node.target is _aten.cat.default:
        return len(taken_values(node)) > 1
    return node.target in _MOVES or node.target in _CLAMPS


def _clamp_behind(op: Node) -> Node | None:
    """Give the clamp that is the only user of an op, if its range holds 0 as every int8 range."""
    user = next(iter(op.users), None)
    if user is None or len(op.users) > 1 or user.target not in _CLAMPS:
        return None
    low, high = clamp_limits(user)
    return user if low <= 0.0 <= high else None


def clamp_limits(clamp: Node) -> tuple[float, float]:
    """Give the lower and the upper end of a clamp; infinite where it has none."""
    if clamp.target is _aten.relu.default:
        return 0.0, float("inf")
    unset: tuple[float | None, ...] = (None, None)
    defaults = (-1.0, 1.0) if clamp.target is _aten.hardtanh.default else unset
    given = tuple(clamp.args[1:])
    low, high = given + defaults[len(given) :]
    return (
        float("-inf") if low is None else float(low),
        float("inf") if high is None else float(high),
    )


def _is_zero_pad(value: object) -> bool:
    """Tell whether a value is a zero pad of the spatial axes that only one op takes."""
    if not isinstance(value, Node) or value.target not in (
        _aten.constant_pad_nd.default,
        _aten.pad.default,
    ):
        return False
    amounts = list(value.args[1])
    if value.target is _aten.pad.default:
        mode = value.args[2] if len(value.args) > 2 else "constant"
        filled = value.args[3] if len(value.args) > 3 else None
    else:
        mode, filled = "constant", value.args[2] if len(value.args) > 2 else 0
    spatial = value.meta["val"].dim() - 2
    return (
        mode == "constant"
        and not filled
        and min(amounts) >= 0
        and not any(amounts[2 * spatial :])
        and len(value.users) == 1
        and is_float(value.args[0])
    )


def _node(value: object) -> Node:
    assert isinstance(value, Node)  # noqa: S101  # narrowed by the caller's checks
    return value
