"""Fold batch norms into the convolution or linear op before them; write out the others."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from mobilesdk.graph.rewriting import get_tensor, new_tensor, set_tensor

_aten = torch.ops.aten
_NORM = _aten._native_batch_norm_legit_no_training.default
_WEIGHT, _BIAS = 1, 2


# Op → whether its weight is that of a transposed convolution.
_FOLDABLE: dict[Any, bool] = {
    _aten.conv1d.default: False,
    _aten.conv2d.default: False,
    _aten.conv3d.default: False,
    _aten.conv1d.padding: False,
    _aten.conv2d.padding: False,
    _aten.conv3d.padding: False,
    _aten.linear.default: False,
    _aten.conv_transpose1d.default: True,
    _aten.conv_transpose2d.input: True,
    _aten.conv_transpose3d.input: True,
}
_TRANSPOSED_GROUPS = 6


def fold_batch_norms(module: torch.fx.GraphModule) -> None:
    """Fold every batch norm whose input comes from one convolution or linear op.

    Why: none of the quantizers sees through a batch norm between a convolution and its activation;
    left in, it costs a second rounding, and bias correction has no bias to correct. After folding,
    the op always has a bias. The arithmetic is done in float64 and rounded once.

    A batch norm is not folded where that would change something else: its input has other users,
    the weight is shared with another op, or the norm runs over an axis that is not the op's output
    channel.
    """
    for norm in module.graph.find_nodes(op="call_function", target=_NORM):
        producer = norm.args[0]
        constants = all(node is None or node.op == "get_attr" for node in norm.args[1:5])
        if constants and _has_channels_second(producer) and can_take_in(producer, norm):
            scale_and_shift_channels(module, producer, *_scale_and_shift(module, norm))
            _replace_result(norm, producer)
    module.graph.eliminate_dead_code()


def write_out_batch_norms(module: torch.fx.GraphModule) -> None:
    """Write every batch norm that is left as a product and a sum with constants.

    Why: the op gives three results, two of them empty, for which static quantization finds no range
    and coremltools no value.
    """
    for norm in module.graph.find_nodes(op="call_function", target=_NORM):
        if all(node is None or node.op == "get_attr" for node in norm.args[1:5]):
            _write_out(module, norm)
    module.graph.eliminate_dead_code()


def _write_out(module: torch.fx.GraphModule, norm: torch.fx.Node) -> None:
    value = norm.args[0]
    like = value.meta["val"]
    name = str(norm.args[3].target).rpartition(".")[0]
    result = value
    with module.graph.inserting_before(norm):
        for op, part, numbers in zip(
            (_aten.mul.Tensor, _aten.add.Tensor),
            ("scale", "shift"),
            _scale_and_shift(module, norm),
            strict=True,
        ):
            spread = numbers.to(like.dtype).reshape(1, -1, *[1] * (like.dim() - 2))
            constant = new_tensor(
                module, f"{name}.{part}".removeprefix("."), spread, parameter=False
            )
            result = module.graph.call_function(op, (result, constant))
            result.meta["val"] = like
    _replace_result(norm, result)


def _replace_result(norm: torch.fx.Node, result: torch.fx.Node) -> None:
    for user in list(norm.users):
        if user.target is operator.getitem and user.args[1] == 0:
            user.replace_all_uses_with(result)


def can_take_in(layer: torch.fx.Node, follower: torch.fx.Node) -> bool:
    """Tell whether weight and bias of a layer can be changed for what follows it.

    Args:
        layer: Any node.
        follower: The op behind it, which would go.
    """
    if layer.target not in _FOLDABLE or list(layer.users) != [follower]:
        return False
    own = layer.args[_WEIGHT : _BIAS + 1]
    return all(node is None or (node.op == "get_attr" and len(node.users) == 1) for node in own)


def _has_channels_second(layer: torch.fx.Node) -> bool:
    return layer.target is not _aten.linear.default or layer.meta["val"].dim() == 2


def scale_and_shift_channels(
    module: torch.fx.GraphModule, layer: torch.fx.Node, scale: Tensor, shift: Tensor
) -> None:
    """Let a layer give ``scale * y + shift`` for its output ``y``, channel by channel.

    Args:
        module: Changed in place.
        layer: A layer that can take it in.
        scale: ``float64[channels]``.
        shift: ``float64[channels]``.
    """
    weight_node = layer.args[_WEIGHT]
    bias_node = layer.args[_BIAS] if len(layer.args) > _BIAS else None
    weight = get_tensor(module, weight_node)
    if bias_node is not None:
        shift = shift + get_tensor(module, bias_node).double() * scale
    scaled = _scale_output_channels(weight.double(), scale, layer)
    set_tensor(module, weight_node, scaled.to(weight.dtype))
    _set_bias(module, layer, shift.to(weight.dtype))


def _scale_and_shift(module: torch.fx.GraphModule, norm: torch.fx.Node) -> tuple[Tensor, Tensor]:
    """Give a batch norm as ``scale * x + shift``, both ``float64[C]``."""
    gamma, beta, mean, variance = norm.args[1:5]
    scale = (get_tensor(module, variance).double() + float(norm.args[6])).rsqrt()
    if gamma is not None:
        scale = scale * get_tensor(module, gamma).double()
    shift = -get_tensor(module, mean).double() * scale
    if beta is not None:
        shift = shift + get_tensor(module, beta).double()
    return scale, shift


def _scale_output_channels(weight: Tensor, scale: Tensor, producer: torch.fx.Node) -> Tensor:
    """Multiply each output channel of a weight.

    Args:
        weight: ``float64[O, …]``, or ``float64[I, O / groups, …]`` for a transposed convolution.
        scale: ``float64[O]``.
        producer: The op that takes the weight.
    """
    if not _FOLDABLE[producer.target]:
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    has_groups = len(producer.args) > _TRANSPOSED_GROUPS
    groups = producer.args[_TRANSPOSED_GROUPS] if has_groups else 1
    by_group = weight.unflatten(0, (groups, -1))
    factors = scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    return (by_group * factors).flatten(0, 1)


def _set_bias(module: torch.fx.GraphModule, producer: torch.fx.Node, bias: Tensor) -> None:
    """Give the op a bias of its own, named after its weight."""
    arguments = list(producer.args)
    existing = arguments[_BIAS] if len(arguments) > _BIAS else None
    if existing is not None:
        set_tensor(module, existing, bias)
        return
    name = f"{arguments[_WEIGHT].target.rpartition('.')[0]}.bias".removeprefix(".")
    with module.graph.inserting_before(producer):
        node = new_tensor(module, name, bias, parameter=True)
    producer.args = (*arguments[:_BIAS], node, *arguments[_BIAS + 1 :])
