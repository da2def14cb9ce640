"""Sound functions with a weight in each form that compression gives it."""

from __future__ import annotations

import numpy as np

from tests.coreml.building import Builder
from tests.coreml.programs import Function, Text, literal

HALF = "float16"
SHAPE = (4, 8)
# Arguments: values, and their element type. Names with a digit are results of another constant.
Array = tuple[np.ndarray, str]

ARRAYS: dict[str, Array] = {
    "data": (np.ones(SHAPE), "int4"),
    "scale": (np.ones((4, 2)), HALF),
    "offset": (np.ones((4, 2)), "int4"),
    "indices": (np.ones(SHAPE), "uint2"),
    "lut": (np.ones((1, 1, 4, 1)), HALF),
    "nonzero_data": (np.ones(32), HALF),
    "mask": (np.ones(SHAPE), "uint1"),
}
VECTORS: dict[str, Array] = {
    "indices": (np.ones((2, 8)), "uint2"),
    "lut": (np.ones((1, 1, 4, 2)), HALF),
    "vector_axis": (np.array(0), "int32"),
}
AFFINE: dict[str, Array] = {
    "quantized_data": (np.ones(SHAPE), "uint8"),
    "zero_point": (np.zeros(4), "uint8"),
    "scale": (np.ones(4), HALF),
    "axis": (np.array(0), "int32"),
}
OLD_PALETTE: dict[str, Array] = {
    "indices": (np.zeros(8), "uint8"),
    "lut": (np.ones(4), HALF),
    "shape": (np.array(SHAPE), "uint32"),
}
OLD_SPARSE: dict[str, Array] = {
    "nonzero_data": (np.ones(32), HALF),
    "mask": (np.full(4, 255), "uint8"),
    "shape": (np.array(SHAPE), "uint32"),
}
SPARSE_PALETTE: dict[str, Array] = {
    "indices_mask": (np.ones(SHAPE), "uint1"),
    "indices_nonzero_data": (np.ones(32), "uint2"),
    "lut": (np.ones((1, 1, 4, 1)), HALF),
}
SPARSE_BLOCKS: dict[str, Array] = {
    "data_mask": (np.ones(SHAPE), "uint1"),
    "nonzero_data": (np.ones(32), "int8"),
    "scale": (np.ones((4, 1)), HALF),
    "offset": (np.zeros((4, 1)), "int8"),
}


def written(function: Function, arrays: dict[str, Array], stored: bool) -> dict[str, bytes]:
    """Write arguments in place, or into the weight file."""
    if not stored:
        return {name: Builder.inline(values, dtype) for name, (values, dtype) in arrays.items()}
    return {
        name: Builder.reference(function.weights.add(values, dtype), dtype, values.shape)
        for name, (values, dtype) in arrays.items()
    }


def layer(opset: str = "CoreML8") -> Function:
    return Function({"x": (HALF, (1, 8))}, ("y",), opset=opset)


def used(function: Function, weight: str) -> Function:
    function.body.op("linear", {"y": (HALF, (1, 4))}, x="x", weight=weight)
    return function


def chosen(*names: str) -> dict[str, Array]:
    return {name: ARRAYS[name] for name in names}


def plain(stored: bool) -> list[Function]:
    """Give the forms of iOS 16, as attributes, and those of iOS 18, as arguments."""
    made = []
    for op, arrays in (
        ("constexpr_affine_dequantize", AFFINE),
        ("constexpr_lut_to_dense", OLD_PALETTE),
        ("constexpr_sparse_to_dense", OLD_SPARSE),
    ):
        function = layer("CoreML6")
        attributes = written(function, arrays, stored)
        function.body.op(op, {"w": (HALF, SHAPE)}, (), attributes)
        made.append(used(function, "w"))
    for op, arrays in (
        ("constexpr_blockwise_shift_scale", chosen("data", "scale", "offset")),
        ("constexpr_lut_to_dense", chosen("indices", "lut")),
        ("constexpr_lut_to_dense", VECTORS),
        ("constexpr_sparse_to_dense", chosen("nonzero_data", "mask")),
    ):
        function = layer()
        function.body.op(op, {"w": (HALF, SHAPE)}, **written(function, arrays, stored))
        made.append(used(function, "w"))
    return made


def joint(stored: bool) -> list[Function]:
    """Give sparse weights whose values are compressed, and a palette whose table is."""
    made = []
    for op, arrays in (
        ("constexpr_lut_to_sparse", SPARSE_PALETTE),
        ("constexpr_sparse_blockwise_shift_scale", SPARSE_BLOCKS),
    ):
        function = layer()
        results = {"m": ("uint1", SHAPE), "d": (HALF, (32,))}
        function.body.op(op, results, **written(function, arrays, stored))
        dense = {"w": (HALF, SHAPE)}
        function.body.op("constexpr_sparse_to_dense", dense, nonzero_data="d", mask="m")
        made.append(used(function, "w"))
    function, table = layer(), (1, 1, 4, 1)
    numbers: dict[str, Array] = {
        "data": (np.ones(table), "int8"),
        "scale": (np.ones((1,) * 4), HALF),
    }
    function.body.op("constexpr_blockwise_shift_scale", {"t": (HALF, table)},
                     **written(function, numbers, stored))  # fmt: skip
    indices = written(function, chosen("indices"), stored)
    function.body.op("constexpr_lut_to_dense", {"w": (HALF, SHAPE)}, lut="t", **indices)
    return [*made, used(function, "w")]


def cast(stored: bool) -> Function:
    function = Function({"x": ("float32", (1, 8))}, ("y",), opset="CoreML6")
    value = written(function, {"source_val": (np.ones(SHAPE), HALF)}, stored)
    attributes = value | {"output_dtype": literal(Text("fp32"))}
    function.body.op("constexpr_cast", {"w": ("float32", SHAPE)}, (), attributes)
    function.body.op("linear", {"y": ("float32", (1, 4))}, x="x", weight="w")
    return function


def compressed() -> list[Function]:
    """Give all of them, with arguments in the weight file and with arguments in place."""
    return [
        made for stored in (True, False) for made in (*plain(stored), *joint(stored), cast(stored))
    ]
