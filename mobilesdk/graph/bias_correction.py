"""Sequential bias correction: move the mean error of every layer into its bias.

Rounding few elements (depthwise filters above all) shifts the mean of whole channels, and shifts
add up through a network where noise averages out. Layer by layer, in the order of execution, with
the errors of all earlier layers present: ``bias += mean(float output) - mean(compressed output)``,
per channel, over samples and positions. Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.2, in its empirical form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.graph.activations import round_activations, rounding_points
from mobilesdk.graph.interpreter import Values, Visit, run_variants
from mobilesdk.graph.layers import Layer, argument, layer_of
from mobilesdk.graph.roles import weight_nodes

_FLOAT, _COMPRESSED = 0, 1


def correct_biases(
    program: torch.export.ExportedProgram,
    compressed: Mapping[str, Tensor],
    samples: Sequence[Sequence[Tensor]],
    activations: ActivationScheme,
    report: Callable[..., None],
    settled: Visit = lambda _node, _values: None,
) -> tuple[dict[str, Tensor], list[str]]:
    """Find the biases that give every layer the mean output of the float network.

    Static activations are rounded on the way, as the runtime will round them, so that their share
    of the error is corrected too. Dynamic ones follow each sample's own range, whose rounding has
    next to no mean: they are left float.

    Args:
        program: With the float weights.
        compressed: Compressed weights by fully qualified name.
        samples: Input tensors of each sample; 8 to 32 are enough.
        activations: Scheme of all activations.
        report: Called with a message and the share done.
        settled: Called with each value after its layer is corrected and it is rounded; it may
            change ``compressed`` for the layers that take the value.

    Returns:
        Corrected biases by fully qualified name, and a note for each layer that has none to
        correct.
    """
    correction = _Correction(program, compressed, activations, settled)
    states: list[Mapping[str, Tensor]] = [{}, compressed]
    run_variants(program, states, samples, correction.visit, report)
    return correction.biases, correction.notes


class _Correction:
    """What is found while the network runs."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        compressed: Mapping[str, Tensor],
        activations: ActivationScheme,
        settled: Visit,
    ) -> None:
        self.biases: dict[str, Tensor] = {}
        self.notes: list[str] = []
        self._names = {node: name for name, node in weight_nodes(program).items()}
        self._tensors = {**program.state_dict, **program.constants}
        self._compressed = compressed
        self._activations = activations
        self._settled = settled
        static = activations.mode == "static"
        self._rounding_points = rounding_points(program.graph) if static else frozenset()

    def visit(self, node: Node, values: Values) -> None:
        """Correct a layer, round what it gives, and hand it on."""
        layer = layer_of(node)
        if layer:
            self._correct(node, layer, values)
        if node in self._rounding_points:
            round_activations(node, values, _COMPRESSED, self._activations)
        self._settled(node, values)

    def _correct(self, node: Node, layer: Layer, values: Values) -> None:
        bias, axis = argument(node, layer.bias), layer.channel_axis
        if bias is None:
            if self._is_rounded(argument(node, layer.weight)):
                self.notes.append(f"{node.name} has no bias to correct")
        elif bias not in self._names or len(bias.users) > 1:
            self.notes.append(f"the bias of {node.name} is shared or computed: not corrected")
        else:
            shift = _channel_mean(values[_FLOAT], axis) - _channel_mean(values[_COMPRESSED], axis)
            name = self._names[bias]
            self.biases[name] = self._tensors[name].detach() + shift.float()
            _add_to_channels(values[_COMPRESSED], shift.float(), axis)

    def _is_rounded(self, weight: Node | None) -> bool:
        """Tell whether a weight is compressed; one behind a transposition counts as its source."""
        while weight and weight not in self._names and weight.all_input_nodes:
            weight = weight.all_input_nodes[0]
        return weight is not None and self._names.get(weight, "") in self._compressed


def _channel_mean(outputs: Sequence[Tensor], axis: int) -> Tensor:
    """Give the float64 mean of each channel over samples and positions."""
    channels_last = (output.movedim(axis, -1).flatten(0, -2) for output in outputs)
    means = [positions.double().mean(dim=0) for positions in channels_last]
    return torch.stack(means).mean(dim=0)


def _add_to_channels(outputs: list[Tensor], shift: Tensor, axis: int) -> None:
    """Replace outputs by what the corrected bias gives."""
    for sample, output in enumerate(outputs):
        outputs[sample] = (output.movedim(axis, -1) + shift).movedim(-1, axis).contiguous()
