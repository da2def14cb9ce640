"""Faults in how values flow: rounding before a clamp, ids in float16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.integer_ops import TAKEN
from mobilesdk.coreml.program import Operation, TensorType
from mobilesdk.coreml.wiring import MOVED, Wiring, names

WHOLE_IN_FLOAT16 = 2048
"""Float16 holds every whole number up to this one, and above it only some."""
_HAVE_CLAMPS = frozenset(TAKEN) - {"avg_pool", "max_pool"} | {"conv_transpose"}
_LEVELS = {ElementType.INT8: (-128, 127), ElementType.UINT8: (0, 255)}
_INDEXED = ("gather", "gather_along_axis", "gather_nd")
# Operations that hand on ids → parameters that they come in by.
_HAND_ON = {
    **MOVED,
    **dict.fromkeys(("abs", "clip", "floor", "gather", "round"), ("x",)),
    **dict.fromkeys(("add", "sub", "mul", "real_div", "floor_div", "mod"), ("x", "y")),
    **dict.fromkeys(("maximum", "minimum"), ("x", "y")),
    "select": ("a", "b"),
}


def rounded_before_clamp(wiring: Wiring) -> Iterator[str]:
    """Levels before a clamp go to values that it cuts off: half of them, or almost all."""
    for dequantize in wiring.operations:
        if dequantize.type != "dequantize" or not dequantize.outputs:
            continue
        name = dequantize.outputs[0].name
        users, source = wiring.users.get(name, []), _rounded_op(wiring, dequantize)
        if source is None or name in wiring.results:
            continue
        held, kept = _held(wiring, dequantize), _kept_by_all(wiring, users)
        if held is None or kept is None:
            continue
        low, high = held
        cut = np.maximum(kept[0] - low, high - kept[1]) - 2 * (high - low) / 255
        worst = int(np.argmax(cut))
        if cut[worst] > 0:
            clamps = list(dict.fromkeys(user.type for user in users))
            channel = f" in channel {worst} of {cut.size}" if cut.size > 1 else ""
            yield (
                f"{source.name} ({source.type}): rounded over {low[worst]:.4g}…{high[worst]:.4g}"
                f"{channel} before {' and '.join(clamps)} {'cuts' if len(clamps) == 1 else 'cut'} "
                f"it to {kept[0]:.4g}…{kept[1]:.4g}."
            )


def _rounded_op(wiring: Wiring, dequantize: Operation) -> Operation | None:
    """Give the operation whose result is rounded, if clamps belong to its kind."""
    for name in names(dequantize, ("input",)):
        quantize = wiring.makers.get(name)
        if quantize is not None and quantize.type == "quantize":
            for source in names(quantize, ("input",)):
                maker = wiring.makers.get(source)
                return maker if maker is not None and maker.type in _HAVE_CLAMPS else None
    return None


def _held(wiring: Wiring, dequantize: Operation) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Give the range that the integers before a ``dequantize`` can hold, for each scale."""
    scale = wiring.numbers(dequantize, "scale")
    zero = wiring.numbers(dequantize, "zero_point")
    zero = np.zeros(1) if zero is None else zero
    (name,) = names(dequantize, ("input",))
    declared = wiring.types.get(name)
    levels = _LEVELS.get(declared.element) if isinstance(declared, TensorType) else None
    if scale is None or levels is None or zero.size not in (1, scale.size):
        return None
    return (levels[0] - zero) * scale, (levels[1] - zero) * scale


def _kept_by_all(wiring: Wiring, users: list[Operation]) -> tuple[float, float] | None:
    """Give the range that at least one of several clamps lets through; None if one is no clamp."""
    found = [_kept(wiring, user) for user in users]
    ranges = [each for each in found if each is not None]
    if not ranges or len(ranges) < len(found):
        return None
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _kept(wiring: Wiring, clamp: Operation) -> tuple[float, float] | None:
    """Give the range that a clamp lets through; None if the operation is none."""
    if clamp.type == "relu":
        return 0.0, float("inf")
    if clamp.type == "relu6":
        return 0.0, 6.0
    low, high = wiring.number(clamp, "alpha"), wiring.number(clamp, "beta")
    return (low, high) if clamp.type == "clip" and low is not None and high is not None else None


def ids_through_float16(wiring: Wiring) -> Iterator[str]:
    """Ids that pass through float16 are rounded above 2,048, and infinite above 65,504."""
    for operation in wiring.operations:
        if operation.type not in _INDEXED:
            continue
        rows = _rows(wiring, operation)
        if rows > WHOLE_IN_FLOAT16 and (where := _float16_source(wiring, operation)):
            yield (
                f"{operation.name} ({operation.type}): ids pass through float16 in {where}, which "
                f"holds whole numbers up to {WHOLE_IN_FLOAT16} only; there are {rows} rows."
            )


def _rows(wiring: Wiring, operation: Operation) -> int:
    """Give the size of the axis that is indexed, the largest one of several; 0 if it is free."""
    shape, indices = _shape(wiring, operation, "x"), _shape(wiring, operation, "indices")
    if operation.type == "gather_nd":
        batch = int(wiring.number(operation, "batch_dims") or 0)
        count = (indices[-1] or 0) if indices else 0
        return max(((size or 0) for size in shape[batch : batch + count]), default=0)
    axis = wiring.number(operation, "axis") or 0.0
    return (shape[int(axis)] or 0) if -len(shape) <= axis < len(shape) else 0


def _shape(wiring: Wiring, operation: Operation, parameter: str) -> tuple[int | None, ...]:
    """Give the declared shape of an argument; empty if it has none."""
    for name in names(operation, (parameter,)):
        declared = wiring.types.get(name)
        if isinstance(declared, TensorType) and declared.shape:
            return declared.shape
    return ()


def _float16_source(wiring: Wiring, operation: Operation) -> str:
    """Give the name of a float16 value that ids are made from; empty if there is none."""
    pending, seen = names(operation, ("indices",)), set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name in wiring.constants:
            continue
        seen.add(name)
        declared = wiring.types.get(name)
        if isinstance(declared, TensorType) and declared.element is ElementType.FLOAT16:
            return name
        maker = wiring.makers.get(name)
        if maker is not None:
            pending += names(maker, _HAND_ON.get(maker.type, ()))
    return ""
