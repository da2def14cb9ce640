"""Imitate integer activations in float32: where runtimes round, and how."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Graph, Node

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.graph.interpreter import Values
from mobilesdk.numerics.ranges import RangeObserver

_aten = torch.ops.aten

# Ops that hand on values of their input: the integers pass through them, scale and all.
_MOVES = frozenset(
    {
        _aten.view,
        _aten.reshape,
        _aten.permute,
        _aten.transpose,
        _aten.t,
        _aten.squeeze,
        _aten.unsqueeze,
        _aten.expand,
        _aten.slice,
        _aten.select,
        _aten.split,
        _aten.split_with_sizes,
        _aten.chunk,
        _aten.unbind,
        _aten.flatten,
        _aten.unflatten,
        _aten.clone,
        _aten.contiguous,
        _aten.constant_pad_nd,
        _aten.pad,
        _aten.max_pool1d,
        _aten.max_pool2d,
        _aten.upsample_nearest2d,
        _aten.index_select,
        _aten.gather,
        _aten.flip,
        _aten.repeat,
    }
)
# Clamps that runtimes run inside the op before them, so that only the clamped value is rounded.
_FUSED_CLAMPS = frozenset({_aten.relu, _aten.relu6, _aten.hardtanh, _aten.clamp})
_CLAMPED_OPS = frozenset(
    {
        _aten.conv1d,
        _aten.conv2d,
        _aten.conv3d,
        _aten.convolution,
        _aten.conv_transpose1d,
        _aten.conv_transpose2d,
        _aten.conv_transpose3d,
        _aten.linear,
        _aten.addmm,
        _aten.mm,
        _aten.add,
        _aten.sub,
        _aten.mul,
    }
)
_SMALLEST_SCALE = 1e-12


def rounding_points(graph: Graph) -> frozenset[Node]:
    """Find the nodes whose values a statically quantized runtime holds as integers of their own.

    These are all ops and inputs, less ops that only move values, and less ops before a clamp that
    is fused into them. Nodes that give no float32 tensor are never rounded; `round_activations`
    leaves them alone.
    """
    return frozenset(
        node
        for node in graph.nodes
        if node.op == "placeholder"
        or (node.op == "call_function" and _packet(node) not in _MOVES and not _is_fused(node))
    )


def round_activations(node: Node, values: Values, variant: int, scheme: ActivationScheme) -> None:
    """Round the values of one node to a static grid whose range they span themselves.

    Args:
        node: The node, for messages.
        values: Of the node; the entries of ``variant`` are replaced. Nodes that give nothing but
            empty tensors have no range, and none to round.
        variant: Which of the variants is the compressed one.
        scheme: Static: 8 bits with a zero point, or 16 bits symmetric, as LiteRT has them.

    Raises:
        StepFailed: A value is not finite.
    """
    tensors = values[variant]
    if not all(isinstance(tensor, Tensor) and tensor.dtype == torch.float32 for tensor in tensors):
        return
    if not any(tensor.numel() for tensor in tensors):
        return
    observer = RangeObserver(scheme.observer, scheme.bits, symmetric=scheme.bits == 16)
    for sample, tensor in enumerate(tensors):
        observer.update(tensor.numpy(), node.name, sample)
    low, high = observer.range()
    values[variant] = [fake_quantize(tensor, low, high, scheme.bits) for tensor in tensors]


def fake_quantize(tensor: Tensor, low: float, high: float, bits: int) -> Tensor:
    """Round values to a grid over a range, which is widened to hold zero exactly.

    Args:
        tensor: float32, any shape.
        low: Lower end of the range.
        high: Upper end of the range.
        bits: 8: with a zero point; 16: symmetric.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if bits == 8:
        scale = max((high - low) / 255, _SMALLEST_SCALE)
        return torch.fake_quantize_per_tensor_affine(tensor, scale, round(-low / scale), 0, 255)
    scale = max(max(high, -low) / 32767, _SMALLEST_SCALE)
    return torch.fake_quantize_per_tensor_affine(tensor, scale, 0, -32768, 32767)


def _is_fused(node: Node) -> bool:
    users = list(node.users)
    return _packet(node) in _CLAMPED_OPS and len(users) == 1 and _packet(users[0]) in _FUSED_CLAMPS


def _packet(node: Node) -> object:
    """Give the op without its overload."""
    return getattr(node.target, "overloadpacket", node.target)
