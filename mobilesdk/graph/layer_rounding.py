"""Round the weights of layers while the network runs, against what their inputs really are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.core.scheme import WeightRecord
from mobilesdk.graph.gptq import Moments, round_gptq
from mobilesdk.graph.importance import importance
from mobilesdk.graph.interpreter import Values
from mobilesdk.graph.layers import argument
from mobilesdk.graph.roles import weight_nodes

_aten = torch.ops.aten
_FLOAT, _COMPRESSED = 0, 1
_CONVOLUTION_DEFAULTS: tuple[Any, ...] = (None, None, None, [1, 1], [0, 0], [1, 1], 1)


class LayerRounding:
    """Takes the place of rounding to nearest for matrix products and 2-D convolutions.

    Args:
        program: With the float weights.
        records: Of the weights to round.
        before: float32 weights before rounding, with their zeros, by fully qualified name.
        rounded: The same weights rounded to nearest; replaced by better ones as the network runs.
        energies: Mean square of each input channel, which tables are fitted to.
        asymmetric: See `round_gptq`.
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        records: Sequence[WeightRecord],
        before: Mapping[str, Tensor],
        rounded: dict[str, Tensor],
        energies: Mapping[str, Tensor],
        *,
        asymmetric: bool,
    ) -> None:
        self._names = {node: name for name, node in weight_nodes(program).items()}
        self._open = {
            record.name: record
            for record in records
            if record.name in before and record.planned.encoding != "float"
        }
        self._before, self._rounded, self._energies = before, rounded, energies
        self._asymmetric = asymmetric

    def visit(self, node: Node, values: Values) -> None:
        """Round the weights of the layers that take the values of a node."""
        for user in node.users:
            weight = argument(user, 1)
            name = self._names.get(weight, "") if weight is not None else ""
            if name in self._open and argument(user, 0) is node and _has_moments(user):
                record = self._open.pop(name)
                self._rounded[name] = self._round(record, _moments(user, values))

    def notes(self) -> Iterator[str]:
        """Name the weights that were rounded to nearest after all, and why."""
        for record in self._open.values():
            yield (
                f"{record.name} ({record.role}) is rounded to nearest: moments of the input are "
                "for matrix products and 2-D convolutions"
            )

    def _round(self, record: WeightRecord, moments: Moments) -> Tensor:
        energy = self._energies.get(record.name)
        return round_gptq(
            self._before[record.name],
            record.role,
            record.planned,
            moments,
            None if energy is None else importance(energy, record.role, record.shape),
            asymmetric=self._asymmetric,
        )


def _has_moments(node: Node) -> bool:
    return node.target in (_aten.linear.default, _aten.conv2d.default)


def _moments(node: Node, values: Values) -> Moments:
    """Sum the second moments of a layer's input over samples and positions."""
    own = cross = torch.zeros(())
    for exact, found in zip(values[_FLOAT], values[_COMPRESSED], strict=True):
        wanted, given = _columns(node, exact), _columns(node, found)
        own = own + (given @ given.transpose(1, 2)).double()
        cross = cross + (wanted @ given.transpose(1, 2)).double()
    return Moments(own, cross)


def _columns(node: Node, value: Tensor) -> Tensor:
    """Give what a layer multiplies its weight with, float32 ``[groups, columns, positions]``."""
    if node.target is _aten.linear.default:
        return value.reshape(-1, value.shape[-1]).T[None]
    given: Any = (*node.args, *_CONVOLUTION_DEFAULTS[len(node.args) :])
    _, weight, _, stride, padding, dilation, groups = given
    kernel = weight.meta["val"].shape[2:]
    patches = torch.nn.functional.unfold(value, kernel, dilation, padding, stride)
    grouped = patches.unflatten(1, (groups, -1))
    return grouped.permute(1, 2, 0, 3).flatten(2)
