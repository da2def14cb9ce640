"""Golden inputs and outputs in one file, in a group for each size at which they are judged.

A tensor of the contract's own shapes has the name of its input or output; at other sizes the sizes
come before it: ``length=16/ids``. Each is ``[samples, *shape]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.sizes import Sizes, judged_sizes, label, own_sizes

Arrays = Mapping[str, NDArray[Any]]
_SEPARATOR = "/"


def golden_groups(contract: Contract) -> dict[str, Sizes]:
    """Give the sizes that each group of goldens of a model with dimensions has."""
    own = own_sizes(contract)
    return {"" if sizes == own else label(sizes): sizes for sizes in judged_sizes(contract)}


def grouped(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    """Give the tensors of a file by group; the name of a group is empty, or ``length=16``."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        group, _, name = key.rpartition(_SEPARATOR)
        found.setdefault(group, {})[name] = array
    return found


def flattened(groups: Mapping[str, Arrays]) -> dict[str, NDArray[Any]]:
    """Give the tensors of all groups by the names that they have in a file."""
    return {
        f"{group}{_SEPARATOR}{name}" if group else name: array
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }
