"""What an operation cannot take is refused; what is wrong in this code is not called so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.coreml import load
from mobilesdk.coreml.interpret import Run, Step
from mobilesdk.coreml.live_memory import LiveMemory
from mobilesdk.coreml.ops import arguments
from mobilesdk.coreml.program import Operation
from mobilesdk.errors import ArtifactInvalid, LimitExceeded, UsageError
from tests.coreml.programs import Function, Text, Typed, ranges, write

HALF: Typed = ("float16", (2,))
X = np.ones(2, np.float16)


def step(function: Any) -> None:
    operation = Operation("odd", {}, (), {}, ())
    Step(operation, function, hands_on=False).run(Run([], [], [], 1, LiveMemory(1)))


def failing(error: Exception) -> Any:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize("error", [TypeError("bug"), AttributeError("bug"), KeyError("bug")])
def test_faults_of_this_code_surface_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match="bug"):
        step(failing(error))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape"), ValueError("shape"), IndexError("shape"), OverflowError("shape")],
)
def test_arguments_that_cannot_be_taken_are_refused(error: Exception) -> None:
    with pytest.raises(ArtifactInvalid, match="odd odd: shape"):
        step(failing(error))


@pytest.mark.parametrize("function", [failing(MemoryError()), lambda: torch.empty(1 << 60)])
def test_memory_that_ends_is_a_limit(function: Any) -> None:
    with pytest.raises(LimitExceeded, match="odd odd: needs more memory"):
        step(function)


def refused(root: Path, match: str, op: str, result: Typed = HALF, **given: Any) -> None:
    made = Function({"x": HALF}, ("y",), states={"s": HALF})
    made.body.op(op, {"y": result}, **given)
    with pytest.raises(ArtifactInvalid, match=match):
        model = load(write(root / "m", made))
        model.predict({"x": X}, states=model.new_states())


@pytest.mark.parametrize(
    ("op", "match", "given"),
    [
        ("relu", "relu y: something that is no tensor as its argument x", {"x": "s"}),
        ("clip", "alpha: the text 'a' where a Tensor is taken",
         {"x": "x", "alpha": Text("a"), "beta": np.float16(1)}),
        ("reshape", "shape: the text '2' where a Tensor is taken", {"x": "x", "shape": Text("2")}),
        ("concat", "a State where a Tensor is taken", {"values": ["x", "s"], "axis": np.int32(0)}),
        ("cast", "dtype: a Tensor where a str is taken", {"x": "x", "dtype": np.int32(1)}),
        ("read_state", "a Tensor where a State is taken", {"input": "x"}),
        ("list_read", "a State where a TensorList is taken", {"ls": "s", "index": np.int32(0)}),
        ("classify", "classes that are neither texts nor integers",
         {"probabilities": "x", "classes": Text("a")}),
        ("einsum", "does not say of which axes", {"values": ["x"], "equation": Text("i")}),
        ("einsum", "does not say of which axes", {"values": ["x"], "equation": Text("i->j")}),
    ],
)  # fmt: skip
def test_arguments_of_another_kind_are_refused_by_name(
    tmp_path: Path, op: str, match: str, given: dict[str, Any]
) -> None:
    refused(tmp_path, match, op, **given)


def test_convolutions_have_one_to_three_spatial_axes(tmp_path: Path) -> None:
    wide: Typed = ("float16", (1,) * 6)
    made = Function({"x": wide}, ("y",))
    made.body.op("conv", {"y": wide}, x="x", weight="x")
    with pytest.raises(ArtifactInvalid, match="conv y: 4 spatial axes where 1, 2, 3 are known"):
        load(write(tmp_path / "m", made)).predict({"x": np.ones((1,) * 6, np.float16)})


def test_vectors_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "MAX_VECTOR", 3)
    match = "4 values where a vector of 3 at most is taken"
    refused(tmp_path, match, "reshape", x="x", shape=np.ones(4, np.int32))
    made = Function({"x": HALF}, ("y",))
    made.body.op("reshape", {"y": ("float16", (1, 2, 1))}, x="x", shape=np.array([1, 2, 1]))
    assert load(write(tmp_path / "n", made)).predict({"x": X})["y"].shape == (1, 2, 1)


def test_lists_are_held_to_the_limit_of_a_tensor(tmp_path: Path) -> None:
    made = Function({"x": HALF}, ("y",))
    large = {"elem_shape": [np.int32(1 << 20)], "init_length": np.int32(1 << 20)}
    made.body.op("make_list", {"list": HALF}, **large)
    made.body.op("relu", {"y": HALF}, x="x")
    with pytest.raises(LimitExceeded, match="make_list list: a tensor of the shape"):
        load(write(tmp_path / "m", made)).predict({"x": X})


def test_what_the_program_declares_and_the_model_allows_may_differ(tmp_path: Path) -> None:
    made = Function({"x": HALF}, ("y",), allowed={"x": ranges((1, 5))})
    made.body.op("relu", {"y": HALF}, x="x")
    model = load(write(tmp_path / "m", made))
    with pytest.raises(UsageError, match=r"the input x has the shape \[3\], declared is \[2\]"):
        model.predict({"x": np.ones(3, np.float16)})
