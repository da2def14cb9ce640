"""Faults in dense weights whose values are zero, or so small that float16 hardly holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.storage_lints import output_axis
from mobilesdk.coreml.uses import Use
from mobilesdk.coreml.wiring import Wiring

SMALLEST_NORMAL = 2.0**-14
"""Of float16; what is smaller has fewer bits there, and is zero on devices without such numbers."""
NOTICED = 0.01
"""Share of a weight, by root mean square, below which nobody notices its loss: 40 dB."""


def norm(values: NDArray[Any]) -> float:
    """Give the root of the summed squares, in float64; NaN or infinity of values that are not."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported elsewhere
        return float(np.linalg.norm(values.astype(np.float64)))


def vanished_weights(wiring: Wiring) -> Iterator[str]:
    """A weight that float16 rounds to zero, or near it, leaves a layer without a function.

    Biases may start at zero, and masks may hold nothing else; so only weights of layers count.
    """
    for use in wiring.uses:
        if output_axis(use, wiring.constants) is None:
            continue
        values = wiring.constants.read(use.name)
        if isinstance(values, tuple) or values.dtype.kind != "f" or not values.size:
            continue
        where = f"{use.name} ({use.operation.type})"
        if not np.any(values):
            yield f"{where}: all {values.size} values are zero."
        elif _is_dense_float16(wiring, use, values):
            yield from _below_normal(where, values)


def _is_dense_float16(wiring: Wiring, use: Use, values: NDArray[Any]) -> bool:
    is_cast = wiring.constants.operation(use.name).type == "constexpr_cast"
    return not wiring.is_compressed(use) and (is_cast or values.dtype == np.float16)


def _below_normal(where: str, values: NDArray[Any]) -> Iterator[str]:
    tiny = values[(values != 0) & (np.abs(values) < SMALLEST_NORMAL)]
    share = norm(tiny) / norm(values)
    if share > NOTICED:
        yield (
            f"{where}: {tiny.size} of {values.size} values lie below the normal range of float16; "
            f"a device that takes them for zero loses {100 * share:.3g} % of the weight."
        )
