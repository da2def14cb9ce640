"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.axes import axes_of, axis_of
from mobilesdk.coreml.ops.integers import in_64_bits, whole
from mobilesdk.coreml.ops.registry import Kind, op

# Of a tensor, its axes, and whether they are kept with size 1.
Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keep)
    return whole(x.double().mean(axes, keep))


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    return x if keep or not axes else x.squeeze(axes)


def _in_float64(compute: Reduce) -> Reduce:
    def reduce(x: Tensor, axes: list[int], keep: bool) -> Tensor:
        result = compute(x.double(), axes, keep)
        return result if x.is_floating_point() else whole(result)

    return reduce


def _in_64_bits(compute: Reduce) -> Reduce:
    return lambda x, axes, keep: in_64_bits(lambda values: compute(values, axes, keep), x)


_ROUNDED: dict[str, Reduce] = {
    "reduce_l1_norm": _in_64_bits(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": _in_float64(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_log_sum": _in_float64(lambda x, axes, keep: x.sum(axes, keep).log()),
    "reduce_log_sum_exp": _in_float64(torch.logsumexp),
    "reduce_mean": _mean,
    "reduce_prod": _in_64_bits(_product),
    "reduce_sum": _in_64_bits(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_sum_square": _in_64_bits(lambda x, axes, keep: x.square().sum(axes, keep)),
}
_EXACT: dict[str, Reduce] = {"reduce_max": torch.amax, "reduce_min": torch.amin}


def _register(name: str, compute: Reduce, kind: Kind) -> None:
    @op(name, kind=kind)
    def function(*, x: Tensor, axes: Ints | None = None, keep_dims: bool = False) -> Tensor:
        """Reduce x along axes, all by default, which are left out or kept with size 1.

        Raises:
            OpError: There is no such axis, or an integer is beyond 64 bits.
        """
        over = list(range(x.dim())) if axes is None else axes_of(axes, x.dim())
        return compute(x, over, keep_dims)


for _name, _compute in _ROUNDED.items():
    _register(_name, _compute, "float")
for _name, _compute in _EXACT.items():
    _register(_name, _compute, "move")


@op("reduce_argmax", kind="move")
def reduce_argmax(
    *, x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Tensor:
    """Give the index of the largest element along an axis, the first of equal ones.

    Raises:
        OpError: There is no such axis.
    """
    del output_dtype  # the declared type of the result says the same
    return torch.argmax(x, axis_of(axis, x.dim()), keep_dims)


@op("reduce_argmin", kind="move")
def reduce_argmin(
    *, x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Tensor:
    """Give the index of the smallest element along an axis, the first of equal ones.

    Raises:
        OpError: There is no such axis.
    """
    del output_dtype
    return torch.argmin(x, axis_of(axis, x.dim()), keep_dims)
