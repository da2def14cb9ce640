"""Give the layers that lost input channels the weights that come nearest to what they gave before.

A layer that takes fewer channels can make up for much of what it lost, because channels tell of
each other. Layer by layer in the order of execution, with the errors of all earlier layers present,
``W`` and ``b`` minimize ``|W x' + b - y|² + λ |W - W₀|²``: ``x'`` what the layer takes now, ``y``
what it gave in the float network, ``W₀`` the weights that it had. It is a linear least-squares
problem, solved in closed form, and needs no labels. He et al. 2017, "Channel Pruning for
Accelerating Very Deep Neural Networks", section 3.1; the regularization towards ``W₀`` keeps a
layer with few rows of data near where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.graph.interpreter import Values, run_variants
from mobilesdk.graph.layers import Layer, argument, layer_of
from mobilesdk.graph.pruning.patches import patches
from mobilesdk.graph.pruning.rules_layers import groups_of, is_transposed
from mobilesdk.graph.roles import weight_nodes

_FLOAT, _PRUNED = 0, 1
_ROWS = 32_768
"""Positions that a layer is fitted to; more change next to nothing."""
_RIDGE = 1e-2
"""λ over the mean energy of an input of the layer."""


def reconstruct(
    program: torch.export.ExportedProgram,
    masked: Mapping[str, Tensor],
    removed: Mapping[str, Mapping[int, Sequence[int]]],
    samples: Sequence[Sequence[Tensor]],
    report: Callable[..., None],
) -> tuple[dict[str, Tensor], list[str]]:
    """Fit the layers that take pruned channels to what they gave before.

    Args:
        program: With the float weights, unpruned.
        masked: Weights that are zero where channels go, by fully qualified name.
        removed: Indices that go, by name and axis.
        samples: Input tensors of each sample.
        report: Called with a message and the share done.

    Returns:
        Weights and biases that were fitted, in full shape, by fully qualified name; and a note for
        each layer that was not.
    """
    fitting = _Fitting(program, masked, removed)
    run_variants(program, [{}, fitting.state], samples, fitting.visit, report)
    return fitting.fitted, fitting.notes


class _Fitting:
    """What is found while both networks run."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        masked: Mapping[str, Tensor],
        removed: Mapping[str, Mapping[int, Sequence[int]]],
    ) -> None:
        self.fitted: dict[str, Tensor] = {}
        self.notes: list[str] = []
        self.state = dict(masked)
        self._removed = removed
        self._names = {node: name for name, node in weight_nodes(program).items()}
        self._tensors = {**program.state_dict, **program.constants}
        self._inputs: dict[Node, list[Tensor]] = {}

    def visit(self, node: Node, values: Values) -> None:
        """Fit a layer that takes pruned channels; keep what such layers take until then."""
        layer = layer_of(node)
        if layer is not None and self._takes_fewer(node, layer):
            self._fit(node, layer, values)
        if any(self._is_input_of(node, user) for user in node.users):
            self._inputs[node] = values[_PRUNED]

    def _is_input_of(self, node: Node, user: Node) -> bool:
        layer = layer_of(user)
        if layer is None or argument(user, layer.input) is not node:
            return False
        return self._takes_fewer(user, layer)

    def _takes_fewer(self, node: Node, layer: Layer) -> bool:
        """Tell whether a layer sums over fewer channels; a depthwise one sums over one anyway."""
        return bool(self._gone(node, layer))

    def _gone(self, node: Node, layer: Layer) -> Sequence[int]:
        """Give the input channels that a layer loses, by the axis of its weight."""
        weight = argument(node, layer.weight)
        while weight is not None and weight not in self._names and weight.all_input_nodes:
            weight = weight.all_input_nodes[0]
        name = self._names.get(weight, "") if weight is not None else ""
        axis = 0 if is_transposed(node) or layer.weight == 2 else 1
        return self._removed.get(name, {}).get(axis, ())

    def _fit(self, node: Node, layer: Layer, values: Values) -> None:
        weight, bias = argument(node, layer.weight), argument(node, layer.bias)
        source = argument(node, layer.input)
        inputs = self._inputs[source] if source is not None else []
        if source is not None and all(user is node for user in source.users):
            del self._inputs[source]
        shared = [each for each in (weight, bias) if each is not None and not self._owns(each)]
        if shared or weight is None:
            self.notes.append(f"{node.name} shares its weights or computes them: not fitted")
            return
        if groups_of(node) != 1 and layer.channel_axis == 1:
            self.notes.append(f"{node.name} is a convolution in groups: not fitted")
            return
        name = self._names[weight]
        old = self.state.get(name, self._tensors[name]).detach()
        gain, shift = self._solve(node, layer, inputs, values, has_bias=bias is not None)
        self.fitted[name] = self.state[name] = old + _as_weight(node, layer, gain, old)
        if bias is not None:
            bias_name = self._names[bias]
            self.fitted[bias_name] = self.state[bias_name] = (
                self.state.get(bias_name, self._tensors[bias_name]).detach() + shift
            )
        self._run_again(node, layer, inputs, values)

    def _owns(self, node: Node) -> bool:
        return node in self._names and len(node.users) == 1

    def _solve(
        self, node: Node, layer: Layer, inputs: Sequence[Tensor], values: Values, *, has_bias: bool
    ) -> tuple[Tensor, Tensor]:
        """Give the change of the weights ``[out, in * taps]`` and of the bias ``[out]``."""
        limit = max(1, _ROWS // len(inputs))
        gone = torch.tensor(self._gone(node, layer))
        rows, missing = [], []
        for sample, given in enumerate(inputs):
            taken = patches(node, given.index_fill(layer.channel_axis, gone, 0.0))
            difference = values[_FLOAT][sample] - values[_PRUNED][sample]
            wanted = difference.movedim(layer.channel_axis, -1).flatten(0, -2)
            step = -(-len(taken) // limit)
            rows.append(taken[::step])
            missing.append(wanted[::step])
        return ridge(torch.cat(rows), torch.cat(missing), has_bias=has_bias)

    def _run_again(
        self, node: Node, layer: Layer, inputs: Sequence[Tensor], values: Values
    ) -> None:
        """Replace what the layer gave by what it gives with its new weights."""
        target: Any = node.target
        for sample, given in enumerate(inputs):
            arguments = list(node.args)
            arguments[layer.input] = given
            for place in (layer.weight, layer.bias):
                constant = argument(node, place)
                if constant is not None:
                    name = self._names[constant]
                    arguments[place] = self.state.get(name, self._tensors[name])
            values[_PRUNED][sample] = target(*arguments, **node.kwargs)


def ridge(inputs: Tensor, missing: Tensor, *, has_bias: bool) -> tuple[Tensor, Tensor]:
    """Solve ``min |x G' + s - m|² + λ |G|²``, over features or over rows, whichever are fewer.

    Features that are zero in every row get no gain.

    Args:
        inputs: ``float32[rows, features]``.
        missing: ``float32[rows, outputs]``: what has to be added to the outputs.
        has_bias: Whether there may be a shift.

    Returns:
        ``float32[outputs, features]`` and ``float32[outputs]``.
    """
    x, m = inputs.double(), missing.double()
    x_mean = x.mean(0) if has_bias else torch.zeros(x.shape[1], dtype=x.dtype)
    m_mean = m.mean(0) if has_bias else torch.zeros(m.shape[1], dtype=m.dtype)
    x, m = x - x_mean, m - m_mean
    energy = float(x.square().sum()) / max(int((x != 0).any(0).sum()), 1)
    weight = max(_RIDGE * energy, torch.finfo(torch.float32).tiny)
    if x.shape[1] <= x.shape[0]:
        gram = x.T @ x + weight * torch.eye(x.shape[1], dtype=x.dtype)
        gain = torch.linalg.solve(gram, x.T @ m).T
    else:
        gram = x @ x.T + weight * torch.eye(x.shape[0], dtype=x.dtype)
        gain = (x.T @ torch.linalg.solve(gram, m)).T
    return gain.float(), (m_mean - gain @ x_mean).float()


def _as_weight(node: Node, layer: Layer, gain: Tensor, like: Tensor) -> Tensor:
    """Arrange ``[out, in * taps]`` as the layer keeps its weight."""
    if layer.weight == 2:
        return gain.T
    if is_transposed(node):
        return gain.reshape(like.shape[1], like.shape[0], *like.shape[2:]).transpose(0, 1)
    return gain.reshape(like.shape)
