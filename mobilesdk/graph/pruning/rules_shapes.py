"""How channels pass through ops that compute nothing across them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from mobilesdk.graph.pruning.regrouping import regroup
from mobilesdk.graph.pruning.tracing import NoRule, Trace
from mobilesdk.graph.pruning.units import Axes, Labels, stays

_aten = torch.ops.aten
_PICKING = frozenset({_aten.select, _aten.unbind, _aten.split, _aten.split_with_sizes, _aten.chunk})


def argument(node: Node, name: str) -> Any:
    """Give an argument of an op by its name in the schema, or its default."""
    for place, each in enumerate(node.target._schema.arguments):
        if each.name == name:
            given = node.args[place] if place < len(node.args) else node.kwargs.get(name)
            return each.default_value if given is None and each.has_default_value() else given
    raise NoRule(f"it has no argument {name!r}")


def pointwise(trace: Trace, node: Node) -> Axes:
    """Ops that compute each element from those at its place."""
    return trace.broadcast([trace.axes(source) for source in node.all_input_nodes], node.name)


def sum_up(trace: Trace, node: Node) -> Axes:
    """``add`` and ``sub``: what two values of the network add up to is noted."""
    axes = pointwise(trace, node)
    if len(node.all_input_nodes) > 1 and all(map(trace.varies, node.all_input_nodes)):
        trace.sums.extend(axes)
    return axes


def slopes(trace: Trace, node: Node) -> Axes:
    """``prelu``: each channel, along the second axis, has its own slope."""
    axes, slope = trace.axes(node.args[0]), trace.axes(node.args[1])[0]
    if len(slope) > 1:
        trace.units.unite(axes[1], slope, node.name)
    return axes


def same(trace: Trace, node: Node) -> Axes:
    """Ops that leave the shape as it is."""
    return trace.axes(node.args[0])


def reshape(trace: Trace, node: Node) -> Axes:
    """Another shape of the same elements."""
    return regroup(
        trace.axes(node.args[0]),
        [int(size) for size in node.meta["val"].shape],
        trace.units,
        lambda axis: _is_taken_apart(node, axis),
        node.name,
    )


def _is_taken_apart(node: Node, axis: int) -> bool:
    """Tell whether a later op picks indices of an axis, behind ops that move axes only."""
    for user in node.users:
        moved = axis
        if user.target is _aten.permute.default:
            order: Any = user.args[1]
            moved = [place % len(order) for place in order].index(axis)
        elif user.target is _aten.transpose.int:
            first, second = (place % node.meta["val"].dim() for place in user.args[1:3])
            moved = {first: second, second: first}.get(axis, axis)
        elif getattr(user.target, "overloadpacket", None) in _PICKING:
            if int(argument(user, "dim")) % node.meta["val"].dim() == axis:
                return True
            continue
        else:
            continue
        if _is_taken_apart(user, moved):
            return True
    return False


def permute(trace: Trace, node: Node) -> Axes:
    """Axes in another order."""
    axes = trace.axes(node.args[0])
    order: Any = node.args[1]
    return tuple(axes[place] for place in order)


def transpose(trace: Trace, node: Node) -> Axes:
    """Two axes change places."""
    axes = list(trace.axes(node.args[0]))
    first, second = node.args[1:3] if len(node.args) > 1 else (0, -1)
    axes[first], axes[second] = axes[second], axes[first]
    return tuple(axes)


def reverse(trace: Trace, node: Node) -> Axes:
    """All axes in the reverse order."""
    return trace.axes(node.args[0])[::-1]


def expand(trace: Trace, node: Node) -> Axes:
    """Axes of one index are repeated; new ones come first."""
    axes, shape = trace.axes(node.args[0]), node.meta["val"].shape
    old = (None,) * (len(shape) - len(axes)) + axes
    return tuple(
        labels if labels is not None and len(labels) == size else stays(size)
        for labels, size in zip(old, shape, strict=True)
    )


def along_channels(trace: Trace, node: Node) -> Axes:
    """Pools, resizing and padding: axes that change size are positions."""
    axes, shape = trace.axes(node.args[0]), node.meta["val"].shape
    result = []
    for labels, size in zip(axes, shape, strict=True):
        if len(labels) != size:
            trace.units.keep(labels, f"{node.name} changes its size")
        result.append(labels if len(labels) == size else stays(size))
    return tuple(result)


def reduce(trace: Trace, node: Node) -> Axes:
    """Means, sums and extremes over some axes."""
    axes = trace.axes(node.args[0])
    given: Any = argument(node, "dim")
    dims = [given] if isinstance(given, int) else list(given or range(len(axes)))
    reduced = {dim % len(axes) for dim in dims}
    for dim in reduced:
        trace.units.keep(axes[dim], f"{node.name} reduces over it")
    if argument(node, "keepdim"):
        return tuple(stays(1) if dim in reduced else axes[dim] for dim in range(len(axes)))
    return tuple(labels for dim, labels in enumerate(axes) if dim not in reduced)


def normalize(trace: Trace, node: Node) -> Axes:
    """Layer norms: what they normalize over stays; scale and shift go along with it."""
    axes = trace.axes(node.args[0])
    shape: Any = node.args[1]
    for source in node.all_input_nodes:
        for labels in trace.axes(source)[-len(shape) :]:
            trace.units.keep(labels, f"{node.name} normalizes over it")
    return axes


def softmax(trace: Trace, node: Node) -> Axes:
    """Softmax: what it sums over stays."""
    axes = trace.axes(node.args[0])
    dim: Any = node.args[1]
    trace.units.keep(axes[dim], f"{node.name} sums over it")
    return axes


def concatenate(trace: Trace, node: Node) -> Axes:
    """Values one after the other along an axis."""
    sources: Any = node.args[0]
    parts = [trace.axes(source) for source in sources]
    dim = int(argument(node, "dim")) % len(parts[0])
    rest = [[labels for axis, labels in enumerate(part) if axis != dim] for part in parts]
    axes = list(trace.broadcast([tuple(labels) for labels in rest], node.name))
    axes.insert(dim, np.concatenate([part[dim] for part in parts]))
    return tuple(axes)


def split(trace: Trace, node: Node) -> tuple[Axes, ...]:
    """Parts of an axis; after pruning, their sizes are written anew."""
    axes = trace.axes(node.args[0])
    dim = int(argument(node, "dim")) % len(axes)
    sizes = [part.shape[dim] for part in node.meta["val"]]
    parts = np.split(axes[dim], np.cumsum(sizes)[:-1])
    return tuple(_with(axes, dim, part) for part in parts)


def take_part(trace: Trace, node: Node) -> Axes:
    """One of several values."""
    source, place = node.args
    found: Any = trace.values[source]
    if not found or not isinstance(found[0], tuple):
        raise NoRule("it takes a part of one tensor")
    parts: tuple[Axes, ...] = found
    return parts[place]


def slice_axis(trace: Trace, node: Node) -> Axes:
    """A range of an axis; after pruning, its ends are written anew."""
    axes = trace.axes(node.args[0])
    dim = int(argument(node, "dim")) % len(axes)
    first, last, step = (argument(node, name) for name in ("start", "end", "step"))
    if step != 1:
        trace.units.keep(axes[dim], f"{node.name} takes every {step}th index of it")
    return _with(axes, dim, axes[dim][slice(first, last, step)])


def pick(trace: Trace, node: Node) -> Axes:
    """One index of an axis."""
    axes = trace.axes(node.args[0])
    dim = int(argument(node, "dim")) % len(axes)
    trace.units.keep(axes[dim], f"{node.name} takes one index of it")
    return axes[:dim] + axes[dim + 1 :]


def unbind(trace: Trace, node: Node) -> tuple[Axes, ...]:
    """Every index of an axis by itself."""
    return (pick(trace, node),) * len(node.meta["val"])


def gate(trace: Trace, node: Node) -> Axes:
    """``glu``: one half of an axis times the sigmoid of the other."""
    axes = trace.axes(node.args[0])
    dim = int(argument(node, "dim")) % len(axes)
    first, second = np.split(axes[dim], 2)
    trace.units.unite(first, second, node.name)
    return _with(axes, dim, first)


def _with(axes: Axes, dim: int, labels: Labels) -> Axes:
    changed: Sequence[Labels] = [*axes[:dim], labels, *axes[dim + 1 :]]
    return tuple(changed)


RESHAPES = frozenset(
    {
        _aten.view,
        _aten.reshape,
        _aten._unsafe_view,
        _aten.flatten,
        _aten.unflatten,
        _aten.unsqueeze,
        _aten.squeeze,
    }
)
SPLITS = frozenset({_aten.split, _aten.split_with_sizes, _aten.chunk})
RULES: dict[Any, Any] = {
    **dict.fromkeys(RESHAPES, reshape),
    **dict.fromkeys(SPLITS, split),
    operator.getitem: take_part,
    _aten.permute: permute,
    _aten.transpose: transpose,
    _aten.t: reverse,
    _aten.numpy_T: reverse,
    _aten.expand: expand,
    _aten.slice: slice_axis,
    _aten.select: pick,
    _aten.unbind: unbind,
    _aten.cat: concatenate,
    _aten.glu: gate,
    _aten.prelu: slopes,
    _aten.layer_norm: normalize,
    _aten.softmax: softmax,
    _aten._softmax: softmax,
    **dict.fromkeys(
        (
            _aten.alias,
            _aten.clone,
            _aten.contiguous,
            _aten.detach,
            _aten.dropout,
            _aten.lift_fresh_copy,
            _aten._to_copy,
            _aten.to,
        ),
        same,
    ),
    **dict.fromkeys((_aten.add, _aten.sub), sum_up),
    # Each element by itself, but torch does not tag them so.
    **dict.fromkeys((_aten.hardswish, _aten.log_sigmoid), pointwise),
    **dict.fromkeys((_aten.mean, _aten.sum, _aten.amax, _aten.amin), reduce),
    **dict.fromkeys(
        (
            _aten.max_pool1d,
            _aten.max_pool2d,
            _aten.max_pool3d,
            _aten.avg_pool1d,
            _aten.avg_pool2d,
            _aten.avg_pool3d,
            _aten.adaptive_avg_pool1d,
            _aten.adaptive_avg_pool2d,
            _aten.adaptive_avg_pool3d,
            _aten.upsample_nearest1d,
            _aten.upsample_nearest2d,
            _aten.upsample_bilinear2d,
            _aten.upsample_bicubic2d,
            _aten.constant_pad_nd,
            _aten.pad,
        ),
        along_channels,
    ),
}
