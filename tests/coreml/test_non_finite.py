"""Numbers that are not finite: named with the constant or the operation that brings them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml import load
from mobilesdk.coreml.executor import Executable
from mobilesdk.errors import ArtifactInvalid
from tests.coreml import building
from tests.coreml.programs import Block, Function, Text, Typed, write

HALF: Typed = ("float16", (2,))
SCALAR: Typed = ("int32", ())
INFINITE = np.array([0, -np.inf], np.float16)
X = np.array([1, 300], np.float16)


def function(**fields: Any) -> Function:
    return Function({"x": HALF}, ("y",), **fields)


def run(root: Path, made: Function, x: np.ndarray = X) -> Executable:
    model = load(write(root / "m", made))
    model.predict({"x": x}, states=model.new_states())
    return model


def described(model: Executable) -> list[tuple[str, str, int, int]]:
    return [(item.op_type, item.result, item.count, item.total) for item in model.non_finite]


def test_overflow_is_named_with_the_operation_that_made_it(tmp_path: Path) -> None:
    made = function()
    made.body.op("relu", {"positive": HALF}, x="x")
    made.body.op("square", {"squares": HALF}, x="positive")
    made.body.op("relu6", {"y": HALF}, x="squares")
    model = load(write(tmp_path / "m", made))
    assert_array_equal(model.predict({"x": X})["y"], [1, 6])
    assert described(model) == [("square", "squares", 1, 2)]
    assert not model.non_finite[0].is_constant
    assert "though all it was given are" in str(model.non_finite[0])
    model.predict({"x": np.array([1, 2], np.float16)})
    assert model.non_finite == ()


def test_large_finite_values_are_no_finding(tmp_path: Path) -> None:
    made = Function({"x": ("float32", (2,))}, ("y",))
    made.body.op("abs", {"y": ("float32", (2,))}, x="x")
    # Their sum is infinite.
    assert run(tmp_path, made, np.full(2, 3e38, np.float32)).non_finite == ()


@pytest.mark.parametrize(
    ("values", "found"), [([[1, np.nan], [np.inf, 1]], [("const", "w", 2, 4)]), ([[1, 2]] * 2, [])]
)
def test_a_stored_weight_that_is_not_finite_is_named(
    tmp_path: Path, values: list[list[float]], found: list[Any]
) -> None:
    made = Function({"x": ("float16", (1, 2))}, ("y",))
    weight = made.body.const("w", np.array(values, np.float16))
    made.body.op("linear", {"y": ("float16", (1, 2))}, x="x", weight=weight)
    model = run(tmp_path, made, X[None])
    assert described(model) == found
    assert all(item.is_constant for item in model.non_finite)
    model.predict({"x": X[None]})  # nothing is decoded any more
    assert described(model) == found


def test_a_compressed_constant_that_overflows_is_named(tmp_path: Path) -> None:
    made = function()
    data = building.Builder.inline(np.array([1, 127]), "int8")
    scale = building.Builder.inline(np.array([1000.0]), "float16")
    made.body.op("constexpr_blockwise_shift_scale", {"w": HALF}, data=data, scale=scale)
    made.body.op("mul", {"y": HALF}, x="x", y="w")
    model = run(tmp_path, made)
    assert described(model)[0] == ("constexpr_blockwise_shift_scale", "w", 1, 2)
    assert "as they are stored" in str(model.non_finite[0])


def test_a_value_written_in_place_is_named_with_its_operation(tmp_path: Path) -> None:
    made = function()
    made.body.op("add", {"y": HALF}, x="x", y=INFINITE)
    assert described(run(tmp_path, made)) == [("const", "y of y", 1, 2)]


def mask(made: Function) -> str:
    return made.body.const("mask", INFINITE)


def added(made: Function) -> None:
    made.body.op("add", {"y": HALF}, x="x", y=mask(made))


def joined(made: Function) -> None:
    both: Typed = ("float16", (4,))
    made.body.op("concat", {"both": both}, values=["x", mask(made)], axis=np.int32(0))
    made.body.op("slice_by_index", {"y": HALF}, x="both", begin=np.array([0], np.int32),
                 end=np.array([2], np.int32))  # fmt: skip


def padded(made: Function) -> None:
    wide: Typed = ("float16", (4,))
    made.body.op("pad", {"wide": wide}, x="x", pad=np.array([0, 2], np.int32),
                 mode=Text("constant"), constant_val=np.float16(-np.inf))  # fmt: skip
    made.body.op("relu", {"y": wide}, x="wide")


def chosen(made: Function) -> None:
    name = mask(made)
    branch = Block(outputs=(name,))
    made.body.op("cond", {"y": HALF}, (branch, branch), pred=np.bool_(True))


@pytest.mark.parametrize("use", [added, joined, padded, chosen])
def test_operations_are_not_blamed_for_constants(tmp_path: Path, use: Any) -> None:
    made = function()
    use(made)
    model = run(tmp_path, made)
    assert [item.is_constant for item in model.non_finite] == [True]


def test_what_a_loop_makes_is_named_once_with_the_operation_inside(tmp_path: Path) -> None:
    made = function()
    variables = {"i": SCALAR, "v": HALF}
    test, body = Block(variables, ("more",)), Block(variables, ("next", "squares"))
    test.op("less", {"more": ("bool", ())}, x="i", y=3)
    body.op("add", {"next": SCALAR}, x="i", y=1)
    body.op("square", {"squares": HALF}, x="v")
    made.body.op("while_loop", {"n": SCALAR, "y": HALF}, (test, body), loop_vars=[0, "x"])
    assert described(run(tmp_path, made)) == [("square", "squares", 1, 2)]


def test_reading_a_state_is_no_overflow(tmp_path: Path) -> None:
    made = function(states={"s": HALF})
    made.body.op("read_state", {"before": HALF}, input="s")
    made.body.op("square", {"squares": HALF}, x="x")
    made.body.op("write_state", {}, input="s", data="squares")
    made.body.op("relu", {"y": HALF}, x="before")
    model = load(write(tmp_path / "m", made))
    states = model.new_states()
    model.predict({"x": X}, states=states)
    assert described(model) == [("square", "squares", 1, 2)]
    assert_array_equal(model.predict({"x": X * 0}, states=states)["y"], [1, np.inf])
    assert model.non_finite == ()


def test_a_run_that_fails_tells_what_it_found_before(tmp_path: Path) -> None:
    made = function()
    made.body.op("square", {"squares": HALF}, x="x")
    made.body.op("cast", {"y": ("int32", (2,))}, x="squares", dtype=Text("int32"))
    model = load(write(tmp_path / "m", made))
    with pytest.raises(ArtifactInvalid, match="cast y: a number that is none of int32, or NaN"):
        model.predict({"x": X * 1.5})
    assert described(model) == [("square", "squares", 1, 2)]


@pytest.mark.parametrize(("mask", "found"), [([-np.inf, -np.inf], True), ([-np.inf, 0], False)])
def test_nan_made_of_infinity_is_named(tmp_path: Path, mask: list[float], found: bool) -> None:
    made = function()
    made.body.op("add", {"masked": HALF}, x="x", y=np.array(mask, np.float16))
    made.body.op("softmax", {"shares": HALF}, x="masked", axis=np.int32(0))
    made.body.op("sqrt", {"roots": HALF}, x="shares")
    made.body.op("greater", {"y": ("bool", (2,))}, x="roots", y=np.float16(0.5))
    model = run(tmp_path, made)
    made_nan = [item for item in model.non_finite if not item.is_constant]
    assert [item.op_type for item in made_nan] == ["softmax"] * found
    assert all("it made NaN of infinity" in str(item) for item in made_nan)
