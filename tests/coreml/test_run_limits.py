"""Limits of a run: large results are refused before they are computed; operations are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.coreml import RunLimits, load
from mobilesdk.errors import ArtifactInvalid, LimitExceeded, UsageError
from tests.coreml.programs import Block, Function, Shape, Text, Typed, write

SINGLE, WHOLE, TRUTH = "float32", "int32", "bool"
IMAGE: Shape = (1, 2, 4, 4)
FREE: Shape = (None, None, None, None)
HUGE = 1 << 30
SMALL = RunLimits(elements=1000)
CUSTOM = Text("custom")


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def run(root: Path, op: str, given: Typed, result: Shape, /, **arguments: Any) -> Any:
    """Run an operation that takes ``x`` where an argument says so."""
    made = Function({"x": given}, ("y",))
    made.body.op(op, {"y": (SINGLE, result)}, **arguments)
    model = load(write(root / "m", made), limits=SMALL)
    dtype, shape = given
    ones = np.ones(shape, np.float32 if dtype == SINGLE else np.int32)
    return model.predict({"x": ones})["y"]


GROWING: dict[str, tuple[str, Shape, dict[str, Any]]] = {
    "pad": ("pad", IMAGE, {"x": "x", "pad": ints(0, 0, 0, HUGE), "mode": Text("constant"),
                           "constant_val": np.float32(0)}),
    "edge": ("pad", IMAGE, {"x": "x", "pad": ints(0, HUGE), "mode": Text("replicate"),
                            "constant_val": np.float32(0)}),
    "tile": ("tile", IMAGE, {"x": "x", "reps": ints(1, 1, HUGE, HUGE)}),
    "fill": ("fill", (), {"value": "x", "shape": ints(HUGE, HUGE)}),
    "one_hot": ("one_hot", (2,), {"indices": "x", "one_hot_vector_size": np.int32(HUGE)}),
    "range_1d": ("range_1d", (), {"step": "x", "end": np.float32(1e12), "start": np.float32(0)}),
    "max_pool": ("max_pool", IMAGE, {"x": "x", "kernel_sizes": ints(1, 1), "pad_type": CUSTOM,
                                     "pad": ints(HUGE, 0, 0, 0)}),
    "avg_pool": ("avg_pool", IMAGE, {"x": "x", "kernel_sizes": ints(1, 1), "pad_type": CUSTOM,
                                     "pad": ints(0, 0, HUGE, 0)}),
    "conv": ("conv", IMAGE, {"x": "x", "weight": np.ones((1, 2, 1, 1), np.float32),
                             "pad_type": CUSTOM, "pad": ints(HUGE, 0, 0, 0)}),
    "conv_transpose": ("conv_transpose", IMAGE, {
        "x": "x", "weight": np.ones((2, 1, 1, 1), np.float32), "strides": ints(HUGE, HUGE)}),
    "output_shape": ("conv_transpose", IMAGE, {
        "x": "x", "weight": np.ones((2, 1, 1, 1), np.float32),
        "output_shape": ints(1, 1, HUGE, HUGE)}),
    "resize": ("resize", IMAGE, {"x": "x", "shape": ints(HUGE, HUGE),
                                 "resized_dims": np.int32(2)}),
    "resize_bilinear": ("resize_bilinear", IMAGE, {
        "x": "x", "target_size_height": np.int32(HUGE), "target_size_width": np.int32(1)}),
    "upsample": ("upsample_nearest_neighbor", IMAGE, {
        "x": "x", "scale_factor_height": np.float32(HUGE), "scale_factor_width": np.float32(1)}),
    "crop_resize": ("crop_resize", IMAGE, {
        "x": "x", "boxes": np.zeros((1, 4), np.float32), "target_height": np.int32(HUGE),
        "target_width": np.int32(HUGE)}),
    "space_to_batch": ("space_to_batch", IMAGE, {
        "x": "x", "block_shape": ints(1, 1), "paddings": np.array([[0, HUGE], [0, 0]], np.int32)}),
    "broadcast": ("add", (500, 1), {"x": "x", "y": np.ones((1, 500), np.float32)}),
    "select": ("select", (500, 1), {
        "a": "x", "cond": np.ones((1, 500), np.bool_), "b": np.float32(0)}),
    "matmul": ("matmul", (500, 1), {"x": "x", "y": np.ones((1, 500), np.float32)}),
    "linear": ("linear", (500, 1), {"x": "x", "weight": np.ones((500, 1), np.float32)}),
    "einsum": ("einsum", (500,), {"values": ["x", "x"], "equation": Text("i,j->ij")}),
    "gather": ("gather", (1, 500), {"x": "x", "indices": np.zeros(500, np.int32)}),
    "lstm": ("lstm", (500, 1, 1), {
        "x": "x", "initial_h": np.zeros((1, 1), np.float32),
        "initial_c": np.zeros((1, 1), np.float32), "weight_ih": np.ones((4, 1), np.float32),
        "weight_hh": np.ones((4, 1), np.float32)}),
    "non_maximum_suppression": ("non_maximum_suppression", (1, 4, 2), {
        "boxes": "x", "scores": np.ones((1, 1, 2), np.float32), "iou_threshold": np.float32(0.5),
        "max_boxes": np.int32(HUGE)}),
    "local_response_norm": ("local_response_norm", IMAGE, {"x": "x", "size": np.int32(HUGE)}),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
def test_results_that_are_too_large_are_refused_before_they_are_computed(
    tmp_path: Path, name: str
) -> None:
    op, shape, arguments = GROWING[name]
    dtype = WHOLE if op == "one_hot" else SINGLE
    with pytest.raises(LimitExceeded, match=rf"^{op} y: a tensor of the shape .* 1000 elements"):
        run(tmp_path, op, (dtype, shape), FREE, **arguments)


def test_what_fits_is_computed(tmp_path: Path) -> None:
    found = run(tmp_path, "tile", (SINGLE, IMAGE), FREE, x="x", reps=ints(1, 1, 5, 6))
    assert found.shape == (1, 2, 20, 24)  # 960 elements


def test_views_that_are_too_large_are_refused_after(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="sliding_windows y: a tensor of the shape"):
        run(
            tmp_path, "sliding_windows", (SINGLE, (90,)), (None, None), x="x", axis=np.int32(0),
            size=np.int32(45),
        )  # fmt: skip


def test_declared_shapes_are_held_to_the_limit_when_loaded(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    made.body.op("relu", {"y": (SINGLE, (40, 40))}, x="x")
    path = write(tmp_path / "m", made)
    with pytest.raises(LimitExceeded, match=r"relu y: declared with the shape \[40, 40\]"):
        load(path, limits=SMALL)
    assert load(path).output_names == ("y",)


def test_states_and_constants_are_held_to_the_limit(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (2,))}, ("y",), states={"s": ("float16", (1 << 20,))})
    made.body.op("relu", {"y": (SINGLE, (2,))}, x="x")
    with pytest.raises(LimitExceeded, match="state s"):
        load(write(tmp_path / "state", made), limits=SMALL)
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    weight = made.body.const("w", np.ones((1001, 2), np.float32))
    made.body.op("linear", {"y": (SINGLE, (None,))}, x="x", weight=weight)
    model = load(write(tmp_path / "constant", made), limits=SMALL)
    with pytest.raises(LimitExceeded, match="const w"):
        model.predict({"x": np.ones(2, np.float32)})


def endless(*, empty: bool) -> Function:
    scalar: Typed = (WHOLE, ())
    made = Function({"x": scalar}, ("y",))
    condition = Block({"i": scalar}, ("go",))
    condition.op("greater", {"go": (TRUTH, ())}, x="i", y=np.int32(0))
    body = Block({"j": scalar}, ("j",))
    if not empty:
        body = Block({"j": scalar}, ("k",))
        body.op("add", {"k": scalar}, x="j", y=np.int32(0))
    made.body.op("while_loop", {"y": scalar}, (condition, body), loop_vars="x")
    return made


@pytest.mark.parametrize("empty", [True, False])
def test_a_loop_that_does_not_end_is_ended(tmp_path: Path, empty: bool) -> None:
    path = write(tmp_path / "m", endless(empty=empty))
    model = load(path, limits=RunLimits(operations=100))
    with pytest.raises(LimitExceeded, match="more operations in one run than the limit"):
        model.predict({"x": np.int32(1)})
    assert model.predict({"x": np.int32(0)})["y"] == 0  # a new run counts anew


@pytest.mark.parametrize("limit", ["elements", "operations", "memory_bytes"])
def test_limits_are_counts(limit: str) -> None:
    with pytest.raises(UsageError):
        RunLimits(**{limit: 0})


def test_a_padding_takes_nothing_off(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"its argument pad is \[0, -9\], not two counts"):
        run(tmp_path, "pad", (SINGLE, IMAGE), FREE, x="x", pad=ints(0, -9), mode=Text("constant"))


@pytest.mark.parametrize("count", [3, 500])
def test_channels_are_counted(tmp_path: Path, count: int) -> None:
    with pytest.raises(ArtifactInvalid, match=f"{count} values for 2 channels"):
        run(tmp_path, "prelu", (SINGLE, IMAGE), IMAGE, x="x", alpha=np.ones(count, np.float32))
