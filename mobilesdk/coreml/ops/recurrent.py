"""Recurrent layers over x [steps, n, C_in], weights [gates * hidden, C_in] and [.., hidden].

A layer in the direction ``reverse`` gives its steps in the order in which it computed them, the
last element of the sequence first. Only the backward half of a bidirectional layer is turned round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mobilesdk.coreml.ops.products import linear_product
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_product

Function = Callable[[Tensor], Tensor]


def _hard_sigmoid(x: Tensor) -> Tensor:
    return (0.2 * x + 0.5).clamp(0, 1)


_ACTIVATIONS: dict[str, Function] = {
    "hard_sigmoid": _hard_sigmoid,
    "linear": lambda x: x,
    "relu": torch.relu,
    "scaled_tanh": torch.tanh,  # its factors are 1 here
    "sigmoid": torch.sigmoid,
    "sigmoid_hard": _hard_sigmoid,
    "tanh": torch.tanh,
}


@op("rnn")
def rnn(
    *,
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Give h = activation(W_ih x + W_hh h + bias) for all steps or the last, and the last h."""
    activate = _activation(activation)
    check_product(x, weight_ih.mT, max_elements)
    inputs = linear_product(_ordered(x, direction), weight_ih, bias, products_per_sum)
    h, states = initial_h, []
    for step in inputs:
        h = activate(step + linear_product(h, weight_hh, None, products_per_sum))
        states.append(h)
    return _sequence(states, output_sequence), h


@op("gru")
def gru(
    *,
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Run a gated recurrent unit; gates are in the order reset, output, update.

    The reset gate multiplies h before its product with the weights, whatever MIL's formula says.
    """
    check_product(x, weight_ih.mT, max_elements)
    weights = (weight_ih, weight_hh)
    gates = (recurrent_activation, activation)
    return _gru(
        x, initial_h, weights, (None, bias), gates, direction, output_sequence, False,
        products_per_sum,
    )  # fmt: skip


@op("gru", since=18)
def gru_with_reset_after(
    *,
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Tensor | None = None,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Run a gated recurrent unit; ``reset_after`` multiplies W_ho h + bias with the reset gate."""
    check_product(x, weight_ih.mT, max_elements)
    weights = (weight_ih, weight_hh)
    gates = (recurrent_activation, activation)
    biases = (input_bias, bias)
    return _gru(
        x, initial_h, weights, biases, gates, direction, output_sequence, reset_after,
        products_per_sum,
    )  # fmt: skip


@op("lstm")
def lstm(
    *,
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    peephole: Tensor | None = None,
    weight_ih_back: Tensor | None = None,
    weight_hh_back: Tensor | None = None,
    bias_back: Tensor | None = None,
    peephole_back: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a long short-term memory; gates are in the order input, forget, output, cell.

    The cell state itself is limited to ± clip. Of a bidirectional layer the states are side by
    side, forward first.
    """
    check_product(x, weight_ih.mT, max_elements)
    names = (recurrent_activation, cell_activation, activation)
    gate, cell, out = (_activation(name) for name in names)
    forward = _Lstm(weight_ih, weight_hh, bias, peephole, gate, cell, out, clip, products_per_sum)
    if direction != "bidirectional":
        steps, h, c = forward.run(_ordered(x, direction), initial_h, initial_c)
        return _sequence(steps, output_sequence), h, c
    if weight_ih_back is None or weight_hh_back is None:
        raise OpError("a bidirectional layer without weights for the way back")
    check_product(x, weight_ih_back.mT, max_elements)
    backward = _Lstm(
        weight_ih_back,
        weight_hh_back,
        bias_back,
        peephole_back,
        gate,
        cell,
        out,
        clip,
        products_per_sum,
    )
    size = weight_hh.shape[1]
    steps, h, c = forward.run(x, initial_h[:, :size], initial_c[:, :size])
    back_steps, back_h, back_c = backward.run(x.flip(0), initial_h[:, size:], initial_c[:, size:])
    h, c = torch.cat([h, back_h], 1), torch.cat([c, back_c], 1)
    if not output_sequence:
        return h.unsqueeze(0), h, c
    return torch.cat([torch.stack(steps), torch.stack(back_steps[::-1])], 2), h, c


@dataclass(frozen=True)
class _Lstm:
    """One direction of a layer."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor | None
    peephole: Tensor | None
    gate: Function
    cell: Function
    out: Function
    clip: float | None
    products_per_sum: int | None

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Give h after each step, and the last h and c."""
        from_i = from_f = from_o = torch.zeros(())
        if self.peephole is not None:
            from_i, from_f, from_o = self.peephole.chunk(3)
        states = []
        for step in self._linear(x, self.weight_ih, self.bias):
            i, f, o, g = (step + self._linear(h, self.weight_hh)).chunk(4, 1)
            kept = self.gate(f + from_f * c) * c
            c = kept + self.gate(i + from_i * c) * self.cell(g)
            if self.clip is not None:
                c = c.clamp(-self.clip, self.clip)
            h = self.gate(o + from_o * c) * self.out(c)
            states.append(h)
        return states, h, c

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear_product(x, weight, bias, self.products_per_sum)


def _gru(
    x: Tensor,
    h: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor | None, Tensor | None],
    activations: tuple[str, str],
    direction: str,
    output_sequence: bool,
    reset_after: bool,
    products_per_sum: int | None,
) -> tuple[Tensor, Tensor]:
    def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear_product(x, weight, bias, products_per_sum)

    gate, activate = (_activation(name) for name in activations)
    weight_r, weight_o, weight_z = weights[1].chunk(3)
    bias_r = bias_o = bias_z = torch.zeros(())
    if biases[1] is not None:
        bias_r, bias_o, bias_z = biases[1].chunk(3)
    states = []
    for step in linear(_ordered(x, direction), weights[0], biases[0]):
        in_r, in_o, in_z = step.chunk(3, 1)
        reset = gate(in_r + linear(h, weight_r) + bias_r)
        update = gate(in_z + linear(h, weight_z) + bias_z)
        if reset_after:
            candidate = in_o + reset * (linear(h, weight_o) + bias_o)
        else:
            candidate = in_o + linear(reset * h, weight_o) + bias_o
        h = (1 - update) * activate(candidate) + update * h
        states.append(h)
    return _sequence(states, output_sequence), h


def _activation(name: str) -> Function:
    if name not in _ACTIVATIONS:
        raise OpError(f"the activation {name!r} is not known")
    return _ACTIVATIONS[name]


def _ordered(x: Tensor, direction: str) -> Tensor:
    if direction not in ("forward", "reverse"):
        raise OpError(f"the direction {direction!r} is not known")
    return x.flip(0) if direction == "reverse" else x


def _sequence(states: list[Tensor], whole: bool) -> Tensor:
    return torch.stack(states if whole else states[-1:])
