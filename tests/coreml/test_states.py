"""States: made by the model, handed from run to run, refused if they are something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml import RunLimits, load
from mobilesdk.coreml.inspection import inspect_package
from mobilesdk.coreml.package import Package
from mobilesdk.errors import ArtifactInvalid, LimitExceeded, UsageError
from tests.coreml.programs import Function, Text, Typed, write

ONE: Typed = ("float32", (1,))
X = {"x": np.array([2], np.float32)}


def counter(of: Typed = ONE) -> Function:
    made = Function({"x": of}, ("y",), states={"total": of})
    made.body.op("read_state", {"before": of}, input="total")
    made.body.op("add", {"y": of}, x="before", y="x")
    made.body.op("write_state", {}, input="total", data="y")
    return made


def counting(tmp_path: Path) -> Path:
    return write(tmp_path / "m", counter())


def test_states_outlive_a_run_and_are_independent(tmp_path: Path) -> None:
    loaded = load(counting(tmp_path))
    one, two = loaded.new_states(), loaded.new_states()
    assert [loaded.predict(X, states=one)["y"].item() for _ in range(3)] == [2, 4, 6]
    assert loaded.predict(X, states=two)["y"].item() == 2


def test_a_run_that_fails_leaves_states_as_they_were(tmp_path: Path) -> None:
    made = counter()
    made.body.op("cast", {"n": ("int32", (1,))}, x="y", dtype=Text("int32"))
    model = load(write(tmp_path / "m", made))
    states = model.new_states()
    model.predict(X, states=states)
    with pytest.raises(ArtifactInvalid, match="cast n: a number that is none of int32"):
        model.predict({"x": np.array([np.nan], np.float32)}, states=states)

    def stop(_type: str, operation: str, _name: str, _value: object) -> None:
        if operation == "n":
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        model.predict(X, states=states, trace=stop)
    assert model.predict(X, states=states)["y"].item() == 4


def test_a_function_with_states_does_not_run_without_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Wrong states"):
        load(counting(tmp_path)).predict(X)


@pytest.mark.parametrize("given", [np.zeros(1, np.float32), None, 0.0])
def test_only_states_are_states(tmp_path: Path, given: Any) -> None:
    with pytest.raises(UsageError, match="'total' is an object of the type") as caught:
        load(counting(tmp_path)).predict(X, states={"total": given})
    assert "new_states()" in caught.value.hint


def test_states_are_given_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Wrong states: an object of the type ndarray"):
        load(counting(tmp_path)).predict(X, states=np.zeros(1))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [("float32", (3,)), ("float16", (1,))])
def test_states_of_another_model_are_refused(tmp_path: Path, other: Typed) -> None:
    states = load(write(tmp_path / "other", counter(other))).new_states()
    with pytest.raises(UsageError, match=rf"a state of {other[0]}.*, not of float32\[1\]"):
        load(counting(tmp_path)).predict(X, states=states)


def test_functions_share_states_of_one_type(tmp_path: Path) -> None:
    path = write(tmp_path / "m", counter(), again=counter())
    first, second = load(path), load(path, function="again")
    states = first.new_states()
    first.predict(X, states=states)
    assert_array_equal(second.predict(X, states=states)["y"], [4])


def test_a_state_keeps_its_shape(tmp_path: Path) -> None:
    made = Function({"x": ONE}, ("x",), states={"total": ("float32", (2,))})
    made.body.op("write_state", {}, input="total", data="x")
    model = load(write(tmp_path / "m", made))
    with pytest.raises(ArtifactInvalid, match=r"\[1\] for a state of torch.float32 \[2\]"):
        model.predict(X, states=model.new_states())


def test_a_state_is_no_output(tmp_path: Path) -> None:
    made = counter()
    made.body.outputs = ("total",)
    model = load(write(tmp_path / "m", made))
    with pytest.raises(ArtifactInvalid, match="The output 'total' is a State"):
        model.predict(X, states=model.new_states())


def test_a_state_that_is_never_written_is_a_problem(tmp_path: Path) -> None:
    reads = Function({"x": ONE}, ("y",), states={"total": ONE})
    reads.body.op("read_state", {"before": ONE}, input="total")
    reads.body.op("add", {"y": ONE}, x="before", y="x")
    alone = inspect_package(Package(write(tmp_path / "alone", reads)))
    assert alone.problems == ("The state 'total' is never written: every run finds it as before.",)
    beside = inspect_package(Package(write(tmp_path / "beside", reads, counts=counter())))
    assert beside.problems == ()
    assert inspect_package(Package(counting(tmp_path))).problems == ()


def test_states_are_held_to_the_limit_of_memory_before_they_are_made(tmp_path: Path) -> None:
    path = write(tmp_path / "m", counter(("float32", (1000,))))
    with pytest.raises(LimitExceeded, match="The states: with it, 8000 bytes"):
        load(path, limits=RunLimits(memory_bytes=7999))
    assert load(path, limits=RunLimits(memory_bytes=8000)).new_states()


def test_a_state_keeps_no_more_than_itself(tmp_path: Path) -> None:
    made = Function({"x": ONE}, ("y",), states={"total": ONE})
    large: Typed = ("float32", (1 << 16,))
    made.body.op("fill", {"large": large}, shape=np.array([1 << 16], np.int32), value="x")
    made.body.op("slice_by_size", {"y": ONE}, x="large", begin=np.array([5], np.int32),
                 size=np.array([1], np.int32))  # fmt: skip
    made.body.op("write_state", {}, input="total", data="y")
    model = load(write(tmp_path / "m", made))
    states = model.new_states()
    model.predict(X, states=states)
    assert states["total"].value.untyped_storage().nbytes() == 4
