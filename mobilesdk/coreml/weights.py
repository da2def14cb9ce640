"""What a package stores for each weight: scheme, bytes, decoded values; and what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.artifact import WeightInfo
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.infinities import may_be_infinite
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Function
from mobilesdk.coreml.storage import UndescribedStorage, describe, vector_size
from mobilesdk.coreml.uses import Use, channel_axis, main_uses
from mobilesdk.numerics.fingerprint import fingerprint


def read_weights(
    package: Package, function: Function
) -> tuple[tuple[WeightInfo, ...], tuple[str, ...]]:
    """Decode every constant of floats with at least two axes.

    Returns:
        The weights, and the problems found with constants of any rank, one sentence each. A weight
        that cannot be decoded is a problem and not in the list. A mask that is infinite, and may
        be, is neither.

    Raises:
        FileRejected: The weight file or the program is damaged.
    """
    constants = Constants(package, function)
    weights: list[WeightInfo] = []
    problems: list[str] = []
    for use in main_uses(function, constants):
        values = constants.read(use.name)
        if isinstance(values, tuple):
            problems += [f"{use.name} ({use.operation.type}): {fault}." for fault in values]
            continue
        problems += _type_problems(use, values, constants)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            if may_be_infinite(function.block.walk(), use.name, values):
                continue
            problems.append(_not_finite(use, values))
        if values.ndim >= 2 and values.dtype.kind == "f":
            try:
                weights.append(_weight(use, values, constants))
            except UndescribedStorage as reason:
                problems.append(f"{use.name} ({use.operation.type}): {reason}.")
    return tuple(weights), tuple(problems)


def _not_finite(use: Use, values: NDArray[Any]) -> str:
    count = values.size - int(np.count_nonzero(np.isfinite(values)))
    return f"{use.name} ({use.operation.type}): {count} of {values.size} values are not finite."


def _type_problems(use: Use, values: NDArray[Any], constants: Constants) -> list[str]:
    problems = []
    where = f"{use.name} ({use.operation.type})"
    declared = constants.declared(use.name)
    if declared.static_shape() != values.shape:
        problems.append(f"{where}: declared {declared.shape}, stored {values.shape}.")
    is_text = declared.element is ElementType.STRING
    if is_text != (values.dtype.kind == "U") or not (
        is_text or values.dtype == declared.element.numpy
    ):
        problems.append(f"{where}: declared {declared.element}, stored {values.dtype}.")
    return problems


def _weight(use: Use, values: NDArray[Any], constants: Constants) -> WeightInfo:
    return WeightInfo(
        name=use.name,
        op=use.operation.type,
        shape=values.shape,
        scheme=describe(constants, use.name, channel_axis(use, constants), values),
        vector_size=vector_size(constants, use.name),
        size_bytes=constants.stored_bytes(use.name),
        finite=bool(np.isfinite(values).all()),
        fingerprint=fingerprint(values),
    )
