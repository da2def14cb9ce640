"""Ops that treat each element by itself: sums, comparisons, choices, dtypes.

https://www.tensorflow.org/api_docs/python/tf/raw_ops
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Family, refused, torch_dtype

OPS = Family()


@OPS("Identity", "StopGradient", "ReadVariableOp", "Snapshot", "PreventGradient", "CheckNumerics",
     "PlaceholderWithDefault")  # fmt: skip
def _identity(_node: Node, x: Tensor) -> Tensor:
    return x


@OPS("IdentityN")
def _identities(_node: Node, *values: Tensor) -> tuple[Tensor, ...]:
    return values


@OPS("Assert")
def _assertion(_node: Node, *_operands: Tensor) -> tuple[Tensor, ...]:
    """Gives nothing: what it asserts is seen when TensorFlow runs the model for comparison."""
    return ()


@OPS("AddV2", "Add", scalars=True)
def _add(_node: Node, x: Any, y: Any) -> Any:
    return x + y


@OPS("AddN")
def _add_all(_node: Node, first: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        first = first + other
    return first


@OPS("BiasAdd", "BiasAddV1")
def _add_bias(node: Node, x: Tensor, bias: Tensor) -> Tensor:
    if node.attributes.get("data_format", "NHWC") == "NCHW":
        return x + bias.reshape(-1, *[1] * (x.dim() - 2))
    return x + bias


@OPS("Sub", scalars=True)
def _subtract(_node: Node, x: Any, y: Any) -> Any:
    return x - y


@OPS("Mul", scalars=True)
def _multiply(_node: Node, x: Any, y: Any) -> Any:
    return x * y


@OPS("MulNoNan")
def _multiply_unless_zero(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(y == 0, torch.zeros_like(y), x * y)


@OPS("RealDiv", scalars=True)
def _divide(_node: Node, x: Any, y: Any) -> Any:
    return x / y


@OPS("Div", "TruncateDiv")
def _divide_towards_zero(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Of integers rounded towards zero; of floats, what `divide` does."""
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@OPS("DivNoNan")
def _divide_unless_zero(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    is_zero = y == 0
    quotient = x / torch.where(is_zero, torch.ones_like(y), y)
    return torch.where(is_zero, torch.zeros_like(quotient), quotient)


@OPS("FloorDiv")
def _divide_down(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y, rounding_mode="floor")


@OPS("FloorMod")
def _remainder(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Has the sign of the divisor."""
    return torch.remainder(x, y)


@OPS("Mod", "TruncateMod")
def _remainder_of_dividend(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Has the sign of the dividend."""
    return torch.fmod(x, y)


@OPS("Pow", scalars=True)
def _power(_node: Node, x: Any, y: Any) -> Any:
    return torch.pow(x, y)


@OPS("Maximum", scalars=True)
def _maximum(_node: Node, x: Any, y: Any) -> Any:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return torch.maximum(x, y)
    return torch.clamp(x, min=y) if isinstance(x, Tensor) else torch.clamp(y, min=x)


@OPS("Minimum", scalars=True)
def _minimum(_node: Node, x: Any, y: Any) -> Any:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return torch.minimum(x, y)
    return torch.clamp(x, max=y) if isinstance(x, Tensor) else torch.clamp(y, max=x)


@OPS("ClipByValue")
def _clip(_node: Node, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


@OPS("SquaredDifference")
def _squared_difference(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    difference = x - y
    return difference * difference


@OPS("Xdivy")
def _quotient_unless_zero(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x == 0, torch.zeros_like(x), x / y)


@OPS("Xlogy")
def _product_with_logarithm(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.xlogy(x, y)


@OPS("Atan2")
def _angle(_node: Node, y: Tensor, x: Tensor) -> Tensor:
    return torch.atan2(y, x)


@OPS("Equal", scalars=True)
def _equal(node: Node, x: Any, y: Any) -> Any:
    _refuse_shapes_that_differ(node, x, y)
    return x == y


@OPS("NotEqual", scalars=True)
def _differs(node: Node, x: Any, y: Any) -> Any:
    _refuse_shapes_that_differ(node, x, y)
    return x != y


def _refuse_shapes_that_differ(node: Node, x: Any, y: Any) -> None:
    """Refuse that shapes that do not fit are told from each other, instead of being an error."""
    if node["incompatible_shape_error"] or not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return
    try:
        torch.broadcast_shapes(x.shape, y.shape)
    except RuntimeError:
        raise refused(node, f"compares {list(x.shape)} with {list(y.shape)}") from None


@OPS("Less", scalars=True)
def _less(_node: Node, x: Any, y: Any) -> Any:
    return x < y


@OPS("LessEqual", scalars=True)
def _less_or_equal(_node: Node, x: Any, y: Any) -> Any:
    return x <= y


@OPS("Greater", scalars=True)
def _greater(_node: Node, x: Any, y: Any) -> Any:
    return x > y


@OPS("GreaterEqual", scalars=True)
def _greater_or_equal(_node: Node, x: Any, y: Any) -> Any:
    return x >= y


@OPS("LogicalAnd")
def _both(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.logical_and(x, y)


@OPS("LogicalOr")
def _either(_node: Node, x: Tensor, y: Tensor) -> Tensor:
    return torch.logical_or(x, y)


@OPS("LogicalNot")
def _negation(_node: Node, x: Tensor) -> Tensor:
    return torch.logical_not(x)


@OPS("SelectV2")
def _select(_node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition, x, y)


@OPS("Select")
def _select_rows(_node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A condition with one axis chooses rows, if the operands have more."""
    if condition.dim() == 1 and x.dim() > 1:
        condition = condition.reshape(-1, *[1] * (x.dim() - 1))
    return torch.where(condition, x, y)


@OPS("Cast")
def _cast(node: Node, x: Tensor) -> Tensor:
    return x.to(torch_dtype(node, node["DstT"]))


@OPS("IsNan")
def _is_nan(_node: Node, x: Tensor) -> Tensor:
    return torch.isnan(x)


@OPS("IsInf")
def _is_infinite(_node: Node, x: Tensor) -> Tensor:
    return torch.isinf(x)


@OPS("IsFinite")
def _is_finite(_node: Node, x: Tensor) -> Tensor:
    return torch.isfinite(x)
