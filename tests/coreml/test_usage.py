"""What a caller may get wrong: refused with a usage error that says what to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.coreml import RunLimits, load
from mobilesdk.coreml.executor import Executable
from mobilesdk.coreml.program import NamedType, TensorType
from mobilesdk.errors import FileRejected, UsageError
from tests.coreml.programs import Function, Typed, write

SINGLE: Typed = ("float32", (2,))
X = np.ones(2, np.float32)


def with_state(root: Path) -> Executable:
    made = Function({"x": SINGLE}, ("y",), states={"s": SINGLE})
    made.body.op("read_state", {"old": SINGLE}, input="s")
    made.body.op("add", {"y": SINGLE}, x="old", y="x")
    return load(write(root / "m", made))


@pytest.mark.parametrize(
    "given", [[[1, 2], [3]], torch.ones(2, requires_grad=True)], ids=["ragged", "with gradient"]
)
def test_what_is_no_array_is_refused(tmp_path: Path, given: Any) -> None:
    model = with_state(tmp_path)
    with pytest.raises(UsageError, match="'x' cannot be read as an array") as caught:
        model.predict({"x": given}, states=model.new_states())
    assert "detach" in caught.value.hint
    model.predict({"x": torch.ones(2)}, states=model.new_states())


def test_states_that_are_missing_can_be_made(tmp_path: Path) -> None:
    model = with_state(tmp_path)
    with pytest.raises(UsageError, match=r"missing \['s'\]") as caught:
        model.predict({"x": X})
    assert "states=model.new_states()" in caught.value.hint


@pytest.mark.parametrize("values", [[np.inf, 1e5], [np.nan, 1e5], [-np.inf, -1e5], [0, 1e5]])
def test_what_is_finite_stays_so_element_by_element(tmp_path: Path, values: list[float]) -> None:
    made = Function({"x": ("float16", (2,))}, ("y",))
    made.body.op("relu", {"y": ("float16", (2,))}, x="x")
    model = load(write(tmp_path / "m", made))
    with pytest.raises(UsageError, match="'x' has values beyond the range of float16"):
        model.predict({"x": np.array(values, np.float32)})
    model.predict({"x": np.array([np.inf, np.nan], np.float32)})


@pytest.mark.parametrize(("dtype", "value"), [("float16", 2049), ("float32", (1 << 24) + 1)])
def test_integers_keep_their_values_as_floats(tmp_path: Path, dtype: str, value: int) -> None:
    made = Function({"x": (dtype, (2,))}, ("y",))
    made.body.op("relu", {"y": (dtype, (2,))}, x="x")
    model = load(write(tmp_path / "m", made))
    with pytest.raises(UsageError, match=f"integers that {dtype} does not have exactly"):
        model.predict({"x": np.array([1, value])})
    assert model.predict({"x": np.array([1, value - 1])})["y"][1] == value - 1


def test_functions_and_states_are_listed(tmp_path: Path) -> None:
    model = with_state(tmp_path)
    assert model.functions == ("main",)
    (state,) = model.states
    assert isinstance(state, NamedType)
    assert isinstance(state.type, TensorType)
    assert (state.name, str(state.type.element), state.type.shape) == ("s", "float32", (2,))


@pytest.mark.parametrize("limit", ["x", 1.5, 0, True])
def test_limits_are_whole_numbers(limit: Any) -> None:
    with pytest.raises(UsageError, match=f"The limit operations is {limit!r}"):
        RunLimits(operations=limit)


@pytest.mark.parametrize("accumulation", [1.5, 0, True])
def test_products_between_roundings_are_counted(tmp_path: Path, accumulation: Any) -> None:
    with pytest.raises(UsageError, match=f"between roundings is {accumulation}"):
        load(tmp_path, precision="float16_accumulation", accumulation=accumulation)


@pytest.mark.parametrize("path", [None, ""])
def test_a_path_is_needed(path: Any) -> None:
    with pytest.raises(UsageError, match=f"{path!r} is not a path"):
        load(path)


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match="There can be no package"):
        load(tmp_path / ("a" * 300))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"function": 3}, "3 is no name of a function"),
        ({"limits": {}}, "are no limits"),
        ({"limits": {"operations": 1}}, "are no limits"),
    ],
)
def test_what_load_is_given_has_the_right_kind(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        load(tmp_path, **given)


def test_whole_numbers_of_numpy_are_counts(tmp_path: Path) -> None:
    assert RunLimits(operations=np.int64(4)).operations == 4  # type: ignore[arg-type]
    with_state(tmp_path)
    count: Any = np.int64(4)
    model = load(tmp_path / "m", precision="float16_accumulation", accumulation=count)
    assert model.precision.block_size == 4


def test_names_of_inputs_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    model = with_state(tmp_path)
    with pytest.raises(UsageError, match=r"missing \['x'\], unknown \['z', 1\]"):
        model.predict({1: X, "z": X}, states=model.new_states())  # type: ignore[dict-item]
