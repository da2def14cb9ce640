"""How much an error in each element of a weight shows in what its layer gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.core.scheme import WeightRole
from mobilesdk.graph.interpreter import Values, run_variants
from mobilesdk.graph.layers import argument, layer_of
from mobilesdk.graph.roles import weight_nodes

_SMALLEST_SHARE = 1e-3  # of the mean over channels: one that calibration leaves at zero counts too


def input_energies(
    program: torch.export.ExportedProgram,
    samples: Sequence[Sequence[Tensor]],
    report: Callable[..., None],
) -> dict[str, Tensor]:
    """Measure the mean square of each input channel of every layer, over samples and positions.

    An error of a weight's element is multiplied by the values of its input channel, so the error's
    square counts with their mean square.

    Args:
        program: With float weights.
        samples: Input tensors of each sample.
        report: Called with a message and the share done.

    Returns:
        float32 of shape ``[input channels]``, by the fully qualified name of the weight.
    """
    names = {node: name for name, node in weight_nodes(program).items()}
    measured: dict[Node, Tensor] = {}
    energies: dict[str, Tensor] = {}

    def visit(node: Node, values: Values) -> None:
        for user in node.users:
            layer = layer_of(user)
            if layer is None or argument(user, layer.input) is not node:
                continue
            weight = argument(user, layer.weight)
            if weight in names:
                if node not in measured:
                    measured[node] = _mean_square(values[0], layer.channel_axis)
                energies[names[weight]] = measured[node]

    run_variants(program, [{}], samples, visit, report)
    return energies


def importance(energy: Tensor, role: WeightRole, shape: tuple[int, ...]) -> Tensor:
    """Spread the energies of input channels over the elements that they are multiplied by.

    Args:
        energy: float32 of shape ``[input channels]``.
        role: What the weight is to the op that takes it.
        shape: Of the weight, as in torch.

    Returns:
        Positive float32 that broadcasts to ``shape``.
    """
    energy = energy.clamp_min(float(energy.mean()) * _SMALLEST_SHARE).clamp_min(1e-30)
    tail = (1,) * (len(shape) - 2)
    if role == "conv_transpose":
        return energy.reshape(-1, 1, *tail)
    per_group = energy.reshape(-1, shape[1])
    return per_group.repeat_interleave(shape[0] // len(per_group), dim=0).reshape(*shape[:2], *tail)


def _mean_square(outputs: Sequence[Tensor], axis: int) -> Tensor:
    positions = [output.movedim(axis, -1).flatten(0, -2) for output in outputs]
    sums = torch.stack([rows.double().square().sum(dim=0) for rows in positions]).sum(dim=0)
    return (sums / sum(len(rows) for rows in positions)).float()
