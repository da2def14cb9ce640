"""Make a program without the channels that go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.layers import CONVOLUTIONS
from mobilesdk.graph.prepare import with_plain_views
from mobilesdk.graph.program import export_program, graph_module, tensors_by_name
from mobilesdk.graph.pruning.rules_layers import groups_of
from mobilesdk.graph.pruning.rules_shapes import RESHAPES, SPLITS, argument
from mobilesdk.graph.pruning.tracing import Trace
from mobilesdk.graph.pruning.units import Axes, Labels
from mobilesdk.graph.rewriting import get_tensor, set_tensor

_aten = torch.ops.aten
_WIDTH_OF_GROUPS = 6


def masked_weights(
    program: torch.export.ExportedProgram,
    trace: Trace,
    removed: Mapping[str, Mapping[int, Sequence[int]]],
) -> dict[str, Tensor]:
    """Give the weights of layers with zeros where they take channels that go.

    The program with these weights computes what the pruned one will, in the full shapes.
    """
    tensors = tensors_by_name(program)
    masked: dict[str, Tensor] = {}
    for each in trace.takes:
        gone = removed.get(each.constant, {}).get(each.axis)
        if gone:
            before = masked.get(each.constant, tensors[each.constant].detach())
            masked[each.constant] = before.index_fill(each.axis, torch.tensor(gone), 0.0)
    return masked


def without(
    program: torch.export.ExportedProgram,
    trace: Trace,
    removed: Iterable[int],
    values: Mapping[str, Tensor],
) -> torch.export.ExportedProgram:
    """Export a program without some units.

    Args:
        program: Prepared; stays as it is.
        trace: Of the program.
        removed: Units that go.
        values: Weights in the full shape that take the place of the program's own, by name.

    Raises:
        CompressionIncomplete: A value would have no channel left.
    """
    cut = _Cut(trace, removed)
    module = graph_module(program)
    own = tensors_by_name(program)
    nodes = {node.name: node for node in program.graph.nodes}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            tensor = values.get(node.target, own.get(node.target, get_tensor(module, node)))
            set_tensor(module, node, cut.tensor(str(node.target), tensor.detach()))
        elif node.op == "call_function":
            cut.rewrite(node, nodes[node.name])
    module.graph.eliminate_dead_code()
    inputs, _ = program.example_inputs
    return with_plain_views(export_program(torch.fx.GraphModule(module, module.graph), inputs))


class _Cut:
    """Takes units out of tensors, and their number out of the arguments of ops."""

    def __init__(self, trace: Trace, removed: Iterable[int]) -> None:
        self._trace = trace
        self._removed = np.array(sorted(removed), np.int64)

    def tensor(self, name: str, tensor: Tensor) -> Tensor:
        """Give what is left of a constant."""
        for axis, labels in enumerate(self._trace.constants.get(name, ())):
            stay = self._stay(labels)
            if not stay.all():
                tensor = tensor.index_select(axis, torch.from_numpy(np.flatnonzero(stay)))
        return tensor.contiguous()

    def rewrite(self, node: Node, traced: Node) -> None:
        """Write the sizes in the arguments of an op anew."""
        packet = getattr(node.target, "overloadpacket", None)
        if packet in RESHAPES:
            node.target = _aten.reshape.default
            node.args, node.kwargs = (node.args[0], self._shape(traced)), {}
        elif packet is _aten.expand:
            node.args = (node.args[0], self._shape(traced))
        elif packet in SPLITS:
            self._rewrite_split(node, traced)
        elif packet is _aten.slice:
            self._rewrite_slice(node, traced)
        elif packet in CONVOLUTIONS and groups_of(node) > 1:
            self._rewrite_groups(node, traced)

    def _stay(self, labels: Labels) -> NDArray[np.bool_]:
        stay = ~np.isin(self._trace.units.roots(labels), self._removed)
        if not stay.any():
            raise CompressionIncomplete(
                "A value would have no channel left.", hint="lower the ratio."
            )
        return stay

    def _count(self, labels: Labels) -> int:
        return int(self._stay(labels).sum())

    def _shape(self, traced: Node) -> list[int]:
        axes: Any = self._trace.values[traced]
        return [self._count(labels) for labels in axes]

    def _rewrite_split(self, node: Node, traced: Node) -> None:
        parts: Any = self._trace.values[traced]
        dim = int(argument(node, "dim")) % len(parts[0])
        sizes = [self._count(axes[dim]) for axes in parts]
        node.target = _aten.split_with_sizes.default
        node.args, node.kwargs = (node.args[0], sizes, dim), {}

    def _rewrite_slice(self, node: Node, traced: Node) -> None:
        before: Axes = self._trace.axes(traced.args[0])
        dim = int(argument(node, "dim")) % len(before)
        stay = self._stay(before[dim])
        if stay.all():
            return
        first, last, _ = slice(argument(node, "start"), argument(node, "end")).indices(len(stay))
        ends = int(stay[:first].sum()), int(stay[:last].sum())
        node.args, node.kwargs = (node.args[0], dim, *ends), {}

    def _rewrite_groups(self, node: Node, traced: Node) -> None:
        """Lower the groups of a depthwise convolution; the groups of others only get narrower."""
        data: Axes = self._trace.axes(traced.args[0])
        if len(data[1]) == groups_of(traced):
            arguments = list(node.args)
            arguments[_WIDTH_OF_GROUPS] = self._count(data[1])
            node.args = tuple(arguments)
