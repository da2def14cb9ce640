"""Store the weights of a coremltools program by their schemes, in place of plain constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.scheme import WeightRecord
from mobilesdk.coreml.encode import ConstExpr, Layout, Stored, encode
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.lowering.coreml.editing import without_source
from mobilesdk.lowering.coreml.weights import FoundWeight

_FIRST_IOS18_OPERATIONS = 18


def store_weights(
    mil: Any, records: Sequence[WeightRecord], found: Mapping[str, FoundWeight], ios: int
) -> None:
    """Replace every constant that holds a compressed weight.

    Args:
        mil: The coremltools program; changed in place.
        records: Of all weights, with the scheme of each.
        found: Where the weights are, by fully qualified name.
        ios: Major version of the deployment target.

    Raises:
        CompressionIncomplete: A weight is not in the program, is no weight of a layer, does not lie
            on the grid of its scheme, or shares its constant with one of another scheme.
    """
    stored: dict[str, WeightRecord] = {}
    for record in records:
        weight = found.get(record.name)
        if weight is None:
            if record.planned.encoding != "float" or record.planned.sparsity:
                raise CompressionIncomplete(
                    f"{record.name} is to be {record.planned}, but coremltools has merged it with "
                    "other constants.",
                    hint="leave this weight out of the compression.",
                )
            continue
        name = weight.constant.name
        if name in stored:
            _refuse_conflict(stored[name], record)
            continue
        stored[name] = record
        expression = _encode(record, weight, ios)
        if expression is not None:
            _replace(mil, weight.constant, expression)


def _refuse_conflict(first: WeightRecord, second: WeightRecord) -> None:
    if first.planned != second.planned:
        raise CompressionIncomplete(
            f"{first.name} and {second.name} are one constant, but are to be {first.planned} and "
            f"{second.planned}.",
            hint="ask for one scheme for both roles.",
        )


def _encode(record: WeightRecord, weight: FoundWeight, ios: int) -> ConstExpr | None:
    plain = record.planned.encoding == "float" and not record.planned.sparsity
    if weight.axes is None and not plain:
        users = ", ".join(sorted({op.op_type for op in weight.constant.outputs[0].child_ops}))
        raise CompressionIncomplete(
            f"{record.name} is to be {record.planned}, but is no weight of a layer: {users} takes "
            "it.",
            hint="leave the role 'other' out of the compression.",
        )
    channel_axis, block_axis = weight.axes or (0, 1)
    layout = Layout(
        channel_axis=channel_axis,
        block_axis=block_axis,
        scale_type="float16" if weight.is_half else "float32",
        packed=ios < _FIRST_IOS18_OPERATIONS,
    )
    try:
        return encode(weight.values, record.planned, layout)
    except CompressionIncomplete as error:
        raise CompressionIncomplete(
            f"{record.name} cannot be stored as {record.planned}: {error.message}"
        ) from error


def _replace(mil: Any, constant: Any, expression: ConstExpr) -> None:
    """Put a compressed constant, under the same name, in the place of a plain one."""
    block = mil.functions["main"]
    with block, without_source():
        results = _build(expression, constant, constant.name)
        block.replace_uses_of_var_after_op(
            anchor_op=results[0].op,
            old_var=constant.outputs[0],
            new_var=results[0],
            no_check_var_types=True,
        )
        block.remove_ops([constant])


def _build(expression: ConstExpr, before: Any, name: str) -> tuple[Any, ...]:
    from coremltools.converters.mil.mil import Builder

    arguments: dict[str, Any] = {
        parameter: _typed(value) if isinstance(value, Stored) else value
        for parameter, value in expression.arguments.items()
    }
    if expression.inner is not None:
        inner = _build(expression.inner, before, f"{name}_values")
        arguments |= zip(expression.results, inner, strict=True)
    built = getattr(Builder, expression.op)(**arguments, before_op=before, name=name)
    return tuple(built) if isinstance(built, list | tuple) else (built,)


def _typed(stored: Stored) -> NDArray[Any]:
    """Mark integers below 8 bits in the way that coremltools knows them by."""
    from coremltools.converters.mil.mil import types

    if stored.bits >= 8:
        return stored.values
    sign = "u" if stored.values.dtype.kind == "u" else ""
    builtin = types.string_to_builtin(f"{sign}int{stored.bits}")
    return stored.values.astype(types.nptype_from_builtin(builtin))
