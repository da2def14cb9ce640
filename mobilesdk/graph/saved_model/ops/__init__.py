"""The ops of TensorFlow that are read, as functions of torch; one file for each family.

Whatever is not in `OPS` is refused. What cannot be written exactly raises `InvalidModel`.
"""

from __future__ import annotations

from mobilesdk.graph.saved_model.ops import (
    activations,
    arithmetic,
    convolutions,
    gathering,
    images,
    pools,
    products,
    reductions,
    shapes,
    slices,
)
from mobilesdk.graph.saved_model.ops.registry import Op

_FAMILIES = (
    activations,
    arithmetic,
    convolutions,
    gathering,
    images,
    pools,
    products,
    reductions,
    shapes,
    slices,
)
OPS: dict[str, Op] = {
    name: each for family in _FAMILIES for name, each in family.OPS.operations.items()
}
