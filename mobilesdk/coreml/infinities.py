"""Constants that are infinite for a good reason: masks that are added, bounds, fillers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.program import Operation

if TYPE_CHECKING:
    from mobilesdk.coreml.wiring import Wiring

# Operations that compare, choose or move → parameters that may be infinite.
_EITHER_SIGN = {
    **dict.fromkeys(("equal", "greater", "greater_equal", "less", "less_equal"), ("x", "y")),
    **dict.fromkeys(("maximum", "minimum", "not_equal"), ("x", "y")),
    **dict.fromkeys(("concat", "stack"), ("values",)),
    **dict.fromkeys(("fill", "fill_like"), ("value",)),
    **dict.fromkeys(("expand_dims", "reshape", "squeeze", "transpose"), ("x",)),
    **dict.fromkeys(("band_part", "cast", "slice_by_index", "slice_by_size", "tile"), ("x",)),
    "clip": ("alpha", "beta"),
    "pad": ("constant_val",),
    "select": ("a", "b"),
}
# Operations that a mask goes into before a softmax, which makes 0 of minus infinity.
_NEGATIVE = {"add": ("x", "y"), "scaled_dot_product_attention": ("attn_mask",)}


def may_be_infinite(operations: Iterable[Operation], name: str, values: NDArray[Any]) -> bool:
    """Tell whether every operation that takes a constant has a meaning for its infinities.

    Args:
        operations: All of the function.
        name: Of the constant.
        values: Decoded; floats.

    Returns:
        False if a value is not a number, and for infinite weights.
    """
    if np.isnan(values).any():
        return False
    is_negative = not np.isposinf(values).any()
    return all(
        takes_infinity(operation.type, parameter, is_negative=is_negative)
        for operation in operations
        for parameter, bindings in operation.inputs.items()
        if name in bindings
    )


def takes_infinity(op_type: str, parameter: str, *, is_negative: bool) -> bool:
    """Tell whether an operation has a meaning for infinite values of a parameter.

    Args:
        op_type: Its type, as in MIL.
        parameter: Name of the parameter.
        is_negative: Whether none of the values is plus infinity.
    """
    either = parameter in _EITHER_SIGN.get(op_type, ())
    return either or (is_negative and parameter in _NEGATIVE.get(op_type, ()))


def infinite_by_design(wiring: Wiring) -> Iterator[str]:
    """Name the constants that are infinite and may be."""
    found = []
    for use in wiring.uses:
        if not takes_infinity(use.operation.type, use.parameter, is_negative=True):
            continue
        values = wiring.constants.read(use.name)
        if isinstance(values, tuple) or values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        if may_be_infinite(wiring.operations, use.name, values):
            found.append(f"{use.name} ({use.operation.type})")
    if found:
        yield f"Infinite, as masks and bounds may be: {', '.join(found)}."
