"""Execution of hand-made programs: precision, checks, blocks, states, functions, images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml import load
from mobilesdk.errors import (
    ArtifactInvalid,
    FileRejected,
    UnknownName,
    UnsupportedProgram,
    UsageError,
)
from tests.coreml import building
from tests.coreml.programs import Block, Function, Text, write

HALF, SINGLE, WHOLE = "float16", "float32", "int32"


def function(dtype: str = HALF, shape: tuple[int | None, ...] = (2,), **fields: Any) -> Function:
    return Function({"x": (dtype, shape)}, ("y",), **fields)


def run(root: Path, made: Function, x: np.ndarray, **options: Any) -> np.ndarray:
    return load(write(root / "m", made), **options).predict({"x": x})["y"]


def test_float16_results_are_rounded_once(tmp_path: Path) -> None:
    made = function()
    made.body.op("add", {"y": (HALF, (2,))}, x="x", y=np.float16(1))
    x = np.array([2.0**-11, 2.0**-11 + 2.0**-20], np.float16)
    found = run(tmp_path, made, x)
    assert found.dtype == np.float16
    assert_array_equal(found, np.array([1, 1 + 2**-10], np.float16))  # a tie to even, and above it


def test_float32_precision_ignores_rounding_of_results(tmp_path: Path) -> None:
    made = function()
    made.body.op("add", {"y": (HALF, (2,))}, x="x", y=np.float16(1))
    x = np.array([2.0**-11, 2.0**-12], np.float32)
    found = run(tmp_path, made, x, precision="float32")
    assert found.dtype == np.float32
    assert_array_equal(found, 1 + x)


def test_sums_are_float32_unless_accumulation_is_asked_for(tmp_path: Path) -> None:
    made = function(shape=(1, 4096))
    weight = made.body.const("weight", np.ones((1, 4096), np.float16))
    made.body.op("linear", {"y": (HALF, (1, 1))}, x="x", weight=weight)
    path = write(tmp_path / "m", made)
    x = {"x": np.ones((1, 4096), np.float16)}
    assert load(path).predict(x)["y"].item() == 4096
    rounded = load(path, precision="float16_accumulation", accumulation=1)
    assert rounded.predict(x)["y"].item() == 2048  # 2048 + 1 is a tie to 2048
    blocks = load(path, precision="float16_accumulation", accumulation=64)
    assert blocks.predict(x)["y"].item() == 4096


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "half"},
        {"precision": "float16_accumulation"},
        {"accumulation": 4},
        {"precision": "float16_accumulation", "accumulation": 0},
    ],
)
def test_precisions_that_make_no_sense_are_refused(tmp_path: Path, options: Any) -> None:
    made = function()
    made.body.op("relu", {"y": (HALF, (2,))}, x="x")
    with pytest.raises(UsageError):
        load(write(tmp_path / "m", made), **options)


def test_every_unknown_operation_and_argument_is_listed_at_once(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"a": (HALF, (2,))}, x="x", slope=np.float16(1))
    made.body.op("warp", {"b": (HALF, (2,))}, x="a")
    inner = Block(outputs=("d",))
    inner.op("fold", {"d": (HALF, (2,))}, x="a")
    made.body.op("cond", {"e": (HALF, (2,))}, (inner, inner), pred=np.bool_(True))
    made.body.op("constexpr_pack", {"w": (HALF, (2,))}, data=np.float16(1))
    made.body.op("constexpr_cast", {"v": (HALF, (2,))}, source_val=np.float16(1), step=np.int32(1))
    made.body.op("add", {"y": (HALF, (2,))}, x="e", y="w")
    with pytest.raises(UnsupportedProgram) as caught:
        load(write(tmp_path / "m", made))
    for part in (
        "argument slope of relu",
        "operation warp",
        "fold (2 times)",
        "operation constexpr_pack",
        "argument step of constexpr_cast",
        "lacks 5 thing(s)",
    ):
        assert part in caught.value.message


def test_an_operation_without_an_argument_is_a_broken_package(tmp_path: Path) -> None:
    made = function()
    made.body.op("clip", {"y": (HALF, (2,))}, x="x", alpha=np.float16(1))
    with pytest.raises(ArtifactInvalid, match="clip y: its argument beta is missing"):
        load(write(tmp_path / "m", made))
    packed = function()
    packed.body.op("constexpr_cast", {"c": (SINGLE, (2,))}, source_val=np.ones(2, np.float16))
    packed.body.op("relu", {"y": (HALF, (2,))}, x="x")
    with pytest.raises(FileRejected, match="constexpr_cast with source_val is not known"):
        load(write(tmp_path / "n", packed))


def test_an_operation_newer_than_the_operation_set_is_unknown(tmp_path: Path) -> None:
    made = function(shape=(2, 2), opset="CoreML7")
    results = {"y": (HALF, (2, 2))}
    made.body.op("scaled_dot_product_attention", results, query="x", key="x", value="x")
    with pytest.raises(UnsupportedProgram, match="in so old an operation set"):
        load(write(tmp_path / "m", made))
    made.opset = "CoreML99"
    with pytest.raises(UnsupportedProgram, match="CoreML99"):
        load(write(tmp_path / "n", made))


def test_random_operations_load_and_do_not_run(tmp_path: Path) -> None:
    made = function()
    made.body.op("random_normal", {"r": (HALF, (2,))}, shape=np.array([2], np.int32))
    made.body.op("add", {"y": (HALF, (2,))}, x="x", y="r")
    loaded = load(write(tmp_path / "m", made))
    assert loaded.unverifiable == ("random_normal: the device draws its own random numbers",)
    with pytest.raises(UnsupportedProgram, match="random"):
        loaded.predict({"x": np.zeros(2, np.float16)})


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ((HALF, (3,)), r"shape \[2\], declared is \[3\]"),
        ((HALF, (None, 2)), r"declared is \[\?, 2\]"),
        ((WHOLE, (2,)), "its argument x is float16, its result y is int32"),
        ((SINGLE, (2,)), "its argument x is float16, its result y is float32"),
    ],
)
def test_results_are_held_to_their_declaration(tmp_path: Path, declared: Any, message: str) -> None:
    made = function()
    made.body.op("relu", {"y": declared}, x="x")
    with pytest.raises(ArtifactInvalid, match=message):
        run(tmp_path, made, np.zeros(2, np.float16))


def test_the_number_of_results_is_checked(tmp_path: Path) -> None:
    made = function()
    results = {"y": (HALF, (1,)), "z": (HALF, (1,)), "w": (HALF, (1,))}
    made.body.op("split", results, x="x", axis=0, num_splits=2)
    with pytest.raises(ArtifactInvalid, match="2 results, 3 declared"):
        run(tmp_path, made, np.zeros(2, np.float16))


@pytest.mark.parametrize(
    ("operation", "factor", "small"), [("add", -2, -1), ("sub", 2, -1), ("mul", 2, 2)]
)
def test_integers_that_do_not_fit_are_refused(
    tmp_path: Path, operation: str, factor: int, small: int
) -> None:
    made = function(WHOLE)
    made.body.op(operation, {"y": (WHOLE, (2,))}, x="x", y=np.int32(factor))
    highest = (1 << 31) - 1
    assert_array_equal(run(tmp_path, made, np.array([1, 1], np.int32)), [small, small])
    with pytest.raises(ArtifactInvalid, match=f"{operation} y: the result y does not fit int32"):
        load(tmp_path / "m").predict({"x": np.array([1, -highest], np.int32)})


def test_casts_wrap_as_in_c(tmp_path: Path) -> None:
    made = function(WHOLE)
    made.body.op("cast", {"y": ("uint16", (2,))}, x="x", dtype=Text("uint16"))
    found = run(tmp_path, made, np.array([70000, -1], np.int32))
    assert found.dtype == np.uint16
    assert_array_equal(found, [70000 - 65536, 65535])


def test_ids_beyond_float16_become_infinite(tmp_path: Path) -> None:
    made = function(WHOLE)
    made.body.op("cast", {"y": (HALF, (2,))}, x="x", dtype=Text("fp16"))
    assert_array_equal(run(tmp_path, made, np.array([70001, 3], np.int32)), [np.inf, 3])


@pytest.mark.parametrize("rows", [1, 5])
def test_free_axes_take_any_size(tmp_path: Path, rows: int) -> None:
    made = function(shape=(None, 2))
    made.body.op("shape", {"sizes": (WHOLE, (2,))}, x="x")
    made.body.op("reduce_sum", {"y": (WHOLE, ())}, x="sizes", keep_dims=np.bool_(False))
    assert run(tmp_path, made, np.zeros((rows, 2), np.float16)).item() == rows + 2


@pytest.mark.parametrize(("sign", "expected"), [(1.0, [1, 3]), (-1.0, [1, -3])])
def test_branches_see_the_names_around_them(
    tmp_path: Path, sign: float, expected: list[int]
) -> None:
    made = function(SINGLE)
    made.body.op("abs", {"a": (SINGLE, (2,))}, x="x")
    made.body.op("greater", {"p": ("bool", ())}, x=np.float32(sign), y=np.float32(0))
    yes, no = Block(outputs=("a",)), Block(outputs=("t",))
    no.op("mul", {"t": (SINGLE, (2,))}, x="a", y=np.array([1, -1], np.float32))
    made.body.op("cond", {"y": (SINGLE, (2,))}, (yes, no), pred="p")
    assert_array_equal(run(tmp_path, made, np.array([1, -3], np.float32)), expected)


def test_loops_carry_their_variables(tmp_path: Path) -> None:
    made = function(SINGLE)
    variables = {"i": (WHOLE, ()), "v": (SINGLE, (2,))}
    test, body = Block(variables, ("more",)), Block(variables, ("next", "twice"))
    test.op("less", {"more": ("bool", ())}, x="i", y=3)
    body.op("add", {"next": (WHOLE, ())}, x="i", y=1)
    body.op("add", {"twice": (SINGLE, (2,))}, x="v", y="v")
    results = {"count": (WHOLE, ()), "y": (SINGLE, (2,))}
    made.body.op("while_loop", results, (test, body), loop_vars=[0, "x"])
    path = write(tmp_path / "m", made)
    x = np.array([1, 5], np.float32)
    loaded = load(path)
    assert_array_equal(loaded.predict({"x": x})["y"], x * 8)
    assert_array_equal(loaded.predict({"x": x})["y"], x * 8)  # nothing is left of the first run
    assert_array_equal(loaded.intermediates({"x": x})["twice"], x * 8)


def test_functions_are_chosen_by_name(tmp_path: Path) -> None:
    one = function(SINGLE)
    weight = one.body.const("w", np.array([2, 3], np.float32))
    one.body.op("mul", {"y": (SINGLE, (2,))}, x="x", y=weight)
    other = Function({"z": (SINGLE, (2,))}, ("q",), weights=one.weights)
    other.body.op("relu", {"q": (SINGLE, (2,))}, x="z")
    path = write(tmp_path / "m", one, other=other)
    values = np.array([-1, 1], np.float32)
    assert_array_equal(load(path).predict({"x": values})["y"], [-2, 3])
    chosen = load(path, function="other")
    assert [item.name for item in chosen.inputs] == ["z"]
    assert_array_equal(chosen.predict({"z": values})["q"], [0, 1])
    with pytest.raises(UnknownName, match="missing"):
        load(path, function="missing")


@pytest.mark.parametrize(("layout", "order"), [("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])])
def test_images_come_in_the_colour_layout_of_the_program(
    tmp_path: Path, layout: str, order: list[int]
) -> None:
    made = function(shape=(1, 3, 2, 4), images={"x": layout})
    made.body.op("mul", {"y": (HALF, (1, 3, 2, 4))}, x="x", y=np.float16(0.5))
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    found = run(tmp_path, made, image)
    assert_array_equal(found[0], np.moveaxis(image[..., order], -1, 0) * 0.5)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 2, 3), "uint8"), np.zeros((2, 4, 3), "float32"), np.zeros((2, 4), "uint8")],
)
def test_other_things_are_no_images(tmp_path: Path, image: np.ndarray) -> None:
    made = function(shape=(1, 3, 2, 4), images={"x": "rgb"})
    made.body.op("relu", {"y": (HALF, (1, 3, 2, 4))}, x="x")
    with pytest.raises(UsageError, match="image"):
        run(tmp_path, made, image)


def test_grayscale_images_have_one_plane(tmp_path: Path) -> None:
    made = function(shape=(1, 1, 2, 4), images={"x": "grayscale"})
    made.body.op("relu", {"y": (HALF, (1, 1, 2, 4))}, x="x")
    image = np.arange(8, dtype=np.uint8).reshape(2, 4)
    assert_array_equal(run(tmp_path, made, image)[0, 0], image)


@pytest.mark.parametrize(("layout", "order"), [("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])])
def test_images_are_given_as_whole_pixels(tmp_path: Path, layout: str, order: list[int]) -> None:
    shape = (1, 3, 1, 2)
    made = function(shape=shape, images={"y": layout}, pictures={"y": (HALF, shape)})
    made.body.op("mul", {"y": (HALF, shape)}, x="x", y=np.float16(1.5))
    x = np.array([[[[-3, 1]], [[2, 3]], [[200, np.nan]]]], np.float16)
    found = run(tmp_path, made, x)
    assert found.dtype == np.uint8
    # halves go to even: 1.5 to 2, 4.5 to 4
    assert_array_equal(found, np.array([[[0, 3, 255], [2, 4, 0]]])[..., order])


@pytest.mark.parametrize("shape", [(1, 3, 1, 5), (1, 1, 1, 2), (2, 3, 1, 2), (3, 1, 2), ()])
def test_planes_that_are_no_image_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    made = function(shape=shape, images={"y": "rgb"}, pictures={"y": (HALF, (1, 3, 1, 2))})
    made.body.op("relu", {"y": (HALF, shape)}, x="x")
    with pytest.raises(ArtifactInvalid, match="The image 'y' came as"):
        run(tmp_path, made, np.ones(shape, np.float16))


def test_scalars_come_as_core_ml_passes_them(tmp_path: Path) -> None:
    made = function(SINGLE, ())
    made.body.op("square", {"y": (SINGLE, ())}, x="x")
    assert run(tmp_path, made, np.array([3], np.float32)) == 9


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "missing"),
        (np.zeros(2), "an object of the type ndarray"),
        ({"x": np.zeros(2), "z": np.zeros(2)}, "unknown"),
        ({"x": np.zeros(3)}, "shape"),
        ({"x": np.array(["a", "b"])}, "type"),
        ({"x": np.zeros(2, complex)}, "type"),
    ],
)
def test_wrong_inputs_are_refused(tmp_path: Path, inputs: Any, message: str) -> None:
    made = function()
    made.body.op("relu", {"y": (HALF, (2,))}, x="x")
    with pytest.raises(UsageError, match=message):
        load(write(tmp_path / "m", made)).predict(inputs)


def test_float_inputs_stay_finite(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"y": (HALF, (2,))}, x="x")
    with pytest.raises(UsageError, match="'x' has values beyond the range of float16"):
        run(tmp_path, made, np.array([1, 70000], np.float32))
    given = np.array([np.inf, 65504], np.float32)
    assert_array_equal(load(tmp_path / "m").predict({"x": given})["y"], given)
    single = load(tmp_path / "m", precision="float32")
    assert_array_equal(single.predict({"x": np.array([1, 70000])})["y"], [1, 70000])


@pytest.mark.parametrize("x", [np.array([1 << 40, 0]), np.array([0.5, 0.0])])
def test_integer_inputs_lose_nothing(tmp_path: Path, x: np.ndarray) -> None:
    made = function(WHOLE)
    made.body.op("identity", {"y": (WHOLE, (2,))}, x="x")
    with pytest.raises(UsageError, match="Wrong input"):
        run(tmp_path, made, x)


def test_a_name_that_is_defined_nowhere_is_rejected(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"y": (HALF, (2,))}, x="ghost")
    with pytest.raises(FileRejected, match="ghost"):
        load(write(tmp_path / "m", made))


def test_names_of_a_nested_block_do_not_leak(tmp_path: Path) -> None:
    made = function()
    inner = Block(outputs=("t",))
    inner.op("relu", {"t": (HALF, (2,))}, x="x")
    made.body.op("cond", {"c": (HALF, (2,))}, (inner, inner), pred=np.bool_(True))
    made.body.op("relu", {"y": (HALF, (2,))}, x="t")
    with pytest.raises(FileRejected, match="'t' is used"):
        load(write(tmp_path / "m", made))


def test_trace_sees_every_result_in_its_declared_type(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"a": (HALF, (2,))}, x="x")
    made.body.op("greater", {"b": ("bool", (2,))}, x="a", y=np.float16(1))
    made.body.op("select", {"y": (HALF, (2,))}, cond="b", a="a", b="x")
    seen: list[tuple[str, str, str]] = []
    load(write(tmp_path / "m", made)).predict(
        {"x": np.array([-1, 2], np.float16)},
        trace=lambda kind, _, name, value: seen.append((kind, name, value.dtype.name)),
    )
    assert seen == [("relu", "a", HALF), ("greater", "b", "bool"), ("select", "y", HALF)]


def test_trace_sees_the_watched_results_only(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"a": (HALF, (2,))}, x="x")
    made.body.op("relu", {"y": (HALF, (2,))}, x="a")
    seen: list[str] = []
    load(write(tmp_path / "m", made)).predict(
        {"x": np.ones(2, np.float16)},
        trace=lambda _type, _operation, name, _value: seen.append(name),
        watched={"y"},
    )
    assert seen == ["y"]


def test_what_a_trace_raises_is_no_fault_of_the_package(tmp_path: Path) -> None:
    made = function()
    inner = Block(outputs=("t",))
    inner.op("relu", {"t": (HALF, (2,))}, x="x")
    made.body.op("cond", {"y": (HALF, (2,))}, (inner, inner), pred=np.bool_(True))

    def trace(_type: str, _operation: str, _name: str, _value: np.ndarray) -> None:
        raise ValueError("of the trace")

    with pytest.raises(ValueError, match="of the trace"):
        load(write(tmp_path / "m", made)).predict({"x": np.ones(2, np.float16)}, trace=trace)


def test_runs_leave_the_inputs_and_each_other_alone(tmp_path: Path) -> None:
    made = function(SINGLE)
    made.body.op("identity", {"y": (SINGLE, (2,))}, x="x")
    loaded = load(write(tmp_path / "m", made))
    x = np.array([1, 2], np.float32)
    found = loaded.predict({"x": x})["y"]
    found[:] = 7
    assert_array_equal(x, [1, 2])
    assert_array_equal(loaded.predict({"x": x})["y"], [1, 2])


def test_what_a_fuzzer_found_stays_refused(tmp_path: Path) -> None:
    named = function()
    named.body.op("relu", {"y": (HALF, (2,))}, x="x", name=Text("a"))
    with pytest.raises(UnsupportedProgram, match="argument name of relu"):
        load(write(tmp_path / "named", named))
    spoken = Function({"x": (HALF, (2,))}, ("y",), states={"s": ("string", (2,))})
    spoken.body.op("relu", {"y": (HALF, (2,))}, x="x")
    with pytest.raises(UnsupportedProgram, match="'s' is not declared as a tensor of numbers"):
        load(write(tmp_path / "spoken", spoken))
    lying = function()
    value = building.Builder.inline(np.ones(2, np.float16), "float16")
    lying.body.op("const", {"c": ("string", (2,))}, attributes={"val": value})
    lying.body.op("add", {"y": (HALF, (2,))}, x="x", y="c")
    with pytest.raises(FileRejected, match="declared string"):
        load(write(tmp_path / "lying", lying)).predict({"x": np.ones(2, np.float16)})
