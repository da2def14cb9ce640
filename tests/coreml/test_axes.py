"""Axes that a tensor lacks, and settings that do not go with its axes, are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.coreml import load
from mobilesdk.coreml.ops.axes import axes_of, axis_of
from mobilesdk.coreml.ops.registry import OpError
from mobilesdk.errors import ArtifactInvalid
from tests.coreml.calling import call, tensor, whole
from tests.coreml.programs import Function, write

MATRIX = torch.arange(6.0).reshape(2, 3)
IMAGE = torch.ones(1, 2, 4, 4)
ONE = torch.zeros(1, 3, dtype=torch.int32)


def test_axes_count_from_either_end() -> None:
    assert [axis_of(axis, 3) for axis in (0, 2, -1, -3)] == [0, 2, 2, 0]
    assert axes_of((-1, 0), 3) == [2, 0]
    for axis in (3, -4):
        with pytest.raises(OpError, match=f"axis {axis} of a tensor of rank 3"):
            axis_of(axis, 3)
    with pytest.raises(OpError, match="name one twice"):
        axes_of((0, -3), 3)


WITH_AXIS: dict[str, dict[str, Any]] = {
    "argsort": {"x": MATRIX},
    "concat": {"values": [MATRIX]},
    "cumsum": {"x": MATRIX},
    "dequantize": {"input": whole([1, 2, 3]), "scale": tensor(1, 2, 3)},
    "gather": {"x": MATRIX, "indices": whole(0)},
    "gather_along_axis": {"x": MATRIX, "indices": ONE},
    "one_hot": {"indices": whole(0, 1), "one_hot_vector_size": 2},
    "quantize": {"input": MATRIX, "scale": tensor(1, 2, 3), "output_dtype": "int8"},
    "reduce_argmax": {"x": MATRIX},
    "reduce_argmin": {"x": MATRIX},
    "scatter": {"data": MATRIX, "indices": whole(0), "updates": MATRIX},
    "scatter_along_axis": {"data": MATRIX, "indices": ONE, "updates": MATRIX[:1]},
    "sliding_windows": {"x": MATRIX, "size": 1},
    "softmax": {"x": MATRIX},
    "split": {"x": MATRIX, "num_splits": 1},
    "stack": {"values": [MATRIX]},
    "topk": {"x": MATRIX},
}
WITH_AXES: dict[str, dict[str, Any]] = {
    "expand_dims": {"x": MATRIX},
    "layer_norm": {"x": MATRIX},
    "reduce_max": {"x": MATRIX},
    "reduce_prod": {"x": MATRIX},
    "reduce_sum": {"x": MATRIX},
    "reverse": {"x": MATRIX},
    "squeeze": {"x": MATRIX},
}


@pytest.mark.parametrize("axis", [7, -7])
@pytest.mark.parametrize("op", WITH_AXIS)
def test_an_axis_out_of_range_is_refused(op: str, axis: int) -> None:
    with pytest.raises(OpError, match=f"axis {axis} of a tensor of rank [123]"):
        call(op, axis=axis, **WITH_AXIS[op])


@pytest.mark.parametrize("axis", [7, -7])
@pytest.mark.parametrize("op", WITH_AXES)
def test_each_of_several_axes_is_in_range(op: str, axis: int) -> None:
    with pytest.raises(OpError, match=f"axis {axis} of a tensor of rank [23]"):
        call(op, axes=(axis,), **WITH_AXES[op])


def test_flatten2d_may_end_after_the_last_axis() -> None:
    assert call("flatten2d", x=MATRIX, axis=2).shape == (6, 1)
    with pytest.raises(OpError, match="axis 3 of a tensor of rank 2"):
        call("flatten2d", x=MATRIX, axis=3)


@pytest.mark.parametrize(
    ("op", "given", "told"),
    [
        ("conv", {"x": IMAGE, "weight": torch.ones(1, 2, 2, 2), "strides": (1, 1, 1)},
         "strides has 3 values for 2 spatial axes"),
        ("conv", {"x": MATRIX, "weight": torch.ones(1, 2, 2, 2)}, r"x of \[2, 3\] with a weight"),
        ("conv_transpose", {"x": IMAGE, "weight": torch.ones(2, 1, 2, 2), "dilations": (1,)},
         "dilations has 1 values for 2 spatial axes"),
        ("max_pool", {"x": IMAGE, "kernel_sizes": (2, 2), "strides": (1,)}, "strides has 1 values"),
        ("avg_pool", {"x": IMAGE, "kernel_sizes": (2,)}, "kernel_sizes has 1 values for 2"),
        ("pad", {"x": IMAGE, "pad": (1, 1, 1)}, r"pad is \[1, 1, 1\], not two counts"),
        ("pad", {"x": IMAGE, "pad": (1, -1)}, r"pad is \[1, -1\], not two counts"),
        ("linear", {"x": MATRIX, "weight": torch.ones(4, 3), "bias": tensor(1)},
         r"a bias of \[1\]"),
        ("crop", {"x": IMAGE, "crop_height": (1,), "crop_width": (0, 0)}, "crop_height has 1"),
        ("slice_by_size", {"x": MATRIX, "begin": (0,), "size": (1, 1)}, "begin has 1 values for 2"),
        ("slice_by_index", {"x": MATRIX, "begin": (0, 0), "end": (1,)}, "end has 1 values for 2"),
        ("space_to_batch", {"x": IMAGE, "block_shape": (2,), "paddings": (0,) * 4}, "block_shape"),
        ("batch_to_space", {"x": IMAGE, "block_shape": (1, 1), "crops": (0,)}, "crops has 1"),
        ("transpose", {"x": MATRIX, "perm": (0,)}, "perm has 1 values for 2 axes"),
        ("einsum", {"values": [MATRIX], "equation": "ijk->i"}, r"for values of \[2, 3\]"),
        ("resize", {"x": MATRIX, "shape": (2,), "resized_dims": 2}, "2 axes resized"),
    ],
)  # fmt: skip
def test_settings_go_with_the_axes(op: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(OpError, match=told):
        call(op, **given)


def test_what_only_python_refuses_is_told_with_the_arguments(tmp_path: Path) -> None:
    made = Function({"x": ("float32", (2,))}, ("y",))
    made.body.op("local_response_norm", {"y": ("float32", (2,))}, x="x", size=np.int32(3))
    match = r"too few or too many axes or values in an argument; given .*x \[2\]"
    with pytest.raises(ArtifactInvalid, match=match) as caught:
        load(write(tmp_path / "m", made)).predict({"x": np.ones(2, np.float32)})
    assert "size 3" in str(caught.value)
    assert "max_elements" not in str(caught.value)


@pytest.mark.parametrize("scale", [[0.0], [np.inf], [np.nan], [1.0, 0.0]])
def test_quantize_takes_no_scale_that_divides_to_nothing(scale: list[float]) -> None:
    with pytest.raises(OpError, match="a scale that is 0, infinite or NaN"):
        call("quantize", input=torch.ones(2), scale=tensor(*scale), output_dtype="int8", axis=0)
