"""Bring a sample to other sizes: what it holds is cut, or repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.sizes import shape_at


def resized(
    sample: Mapping[str, NDArray[Any]], contract: Contract, sizes: Mapping[str, int]
) -> dict[str, NDArray[Any]]:
    """Give a sample in which the dimensions of the contract have some sizes.

    Along an axis that has to be longer, the values begin again: they stay values of a real sample,
    where numbers drawn at random would be none.

    Args:
        sample: Input name → array.
        contract: Of the model.
        sizes: Dimension → size.
    """
    return {
        spec.name: resized_array(sample[spec.name], shape_at(contract, spec, sizes))
        for spec in contract.inputs
    }


def resized_array(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Cut or repeat an array along each axis until it has a shape of the same rank."""
    for axis, (have, wanted) in enumerate(zip(array.shape, shape, strict=True)):
        if have != wanted:
            array = np.take(array, np.arange(wanted) % have, axis=axis)
    return np.ascontiguousarray(array)
