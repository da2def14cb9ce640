"""Faults in how values flow: rounding before a clamp, ids in float16."""

from __future__ import annotations

from collections.abc import Iterator

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.integer_ops import TAKEN
from mobilesdk.coreml.program import Operation, TensorType
from mobilesdk.coreml.wiring import Wiring, names

WHOLE_IN_FLOAT16 = 2048
"""Float16 holds every whole number up to this one, and above it only some."""
_HAVE_CLAMPS = frozenset(TAKEN) - {"avg_pool", "max_pool"} | {"conv_transpose"}
_LEVELS = {ElementType.INT8: (-128, 127), ElementType.UINT8: (0, 255)}
_INDEXED = {"gather": ("x", "indices"), "gather_along_axis": ("x", "indices")}
# Operations that hand on ids → parameters that they come in by.
_HAND_ON = {
    "cast": ("x",),
    "reshape": ("x",),
    "expand_dims": ("x",),
    "squeeze": ("x",),
    "transpose": ("x",),
    "slice_by_index": ("x",),
    "add": ("x", "y"),
    "sub": ("x", "y"),
    "select": ("a", "b"),
    "floor": ("x",),
    "round": ("x",),
}


def rounded_before_clamp(wiring: Wiring) -> Iterator[str]:
    """Levels before a clamp go to values that it cuts off: half of them, or almost all."""
    for dequantize in wiring.operations:
        if dequantize.type != "dequantize" or not dequantize.outputs:
            continue
        users = wiring.users.get(dequantize.outputs[0].name, [])
        source = _rounded_op(wiring, dequantize)
        if len(users) != 1 or source is None or dequantize.outputs[0].name in wiring.results:
            continue
        held, kept = _held(wiring, dequantize), _kept(wiring, users[0])
        if held is None or kept is None:
            continue
        step = (held[1] - held[0]) / 255
        if held[0] < kept[0] - 2 * step or held[1] > kept[1] + 2 * step:
            yield (
                f"{source.name} ({source.type}): rounded over {held[0]:.4g}…{held[1]:.4g} before "
                f"{users[0].type} cuts it to {kept[0]:.4g}…{kept[1]:.4g}."
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


def _held(wiring: Wiring, dequantize: Operation) -> tuple[float, float] | None:
    """Give the range that the integers before a ``dequantize`` can hold."""
    scale = wiring.number(dequantize, "scale")
    zero = wiring.number(dequantize, "zero_point") or 0.0
    (name,) = names(dequantize, ("input",))
    declared = wiring.types.get(name)
    levels = _LEVELS.get(declared.element) if isinstance(declared, TensorType) else None
    if scale is None or levels is None:
        return None
    return (levels[0] - zero) * scale, (levels[1] - zero) * scale


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
        table, indices = _INDEXED[operation.type]
        rows = _rows(wiring, operation, table)
        if rows > WHOLE_IN_FLOAT16 and (where := _float16_source(wiring, operation, indices)):
            yield (
                f"{operation.name} ({operation.type}): ids pass through float16 in {where}, which "
                f"holds whole numbers up to {WHOLE_IN_FLOAT16} only; there are {rows} rows."
            )


def _rows(wiring: Wiring, operation: Operation, table: str) -> int:
    axis = wiring.number(operation, "axis") or 0.0
    for name in names(operation, (table,)):
        declared = wiring.types.get(name)
        shape = declared.shape if isinstance(declared, TensorType) else None
        if shape and -len(shape) <= axis < len(shape):
            return shape[int(axis)] or 0
    return 0


def _float16_source(wiring: Wiring, operation: Operation, parameter: str) -> str:
    """Give the name of a float16 value that ids are made from; empty if there is none."""
    pending, seen = names(operation, (parameter,)), set[str]()
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
