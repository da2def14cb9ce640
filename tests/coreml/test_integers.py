"""Integers that a result cannot hold are refused; none wraps, and none ends the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.coreml import load
from mobilesdk.coreml.ops.registry import OpError
from mobilesdk.errors import ArtifactInvalid
from tests.coreml.calling import call, whole
from tests.coreml.programs import Function, Text, Typed, write

WHOLE: Typed = ("int32", (2,))
LOW, HIGH = -(2**31), 2**31 - 1
LOWEST = -(2**63)


def package(root: Path, op: str, result: Typed, x: str = "x", **given: Any) -> Path:
    made = Function({"x": WHOLE}, ("y",))
    made.body.op(op, {"y": result}, **({x: "x"} | given))
    return write(root / "m", made)


@pytest.mark.parametrize(
    ("op", "x", "given", "values"),
    [
        ("real_div", "x", {"y": np.int32(-1)}, [LOW, 1]),
        ("floor_div", "x", {"y": np.int32(-1)}, [LOW, 1]),
        ("abs", "x", {}, [LOW, 1]),
        ("square", "x", {}, [HIGH, 1]),
        ("pow", "x", {"y": np.int32(2)}, [HIGH, 1]),
        ("reduce_sum", "x", {}, [HIGH, 1]),
        ("reduce_sum_square", "x", {}, [HIGH, HIGH]),
        ("reduce_prod", "x", {}, [LOW, LOW]),
        ("reduce_l1_norm", "x", {}, [LOW, 0]),
        ("cumsum", "x", {"axis": np.int32(0)}, [HIGH, 1]),
        ("scatter", "data", {"indices": np.array([0]), "updates": np.array([-1]),
                             "mode": Text("div")}, [LOW, 1]),
    ],
)  # fmt: skip
def test_an_overflow_is_refused(
    tmp_path: Path, op: str, x: str, given: dict[str, Any], values: list[int]
) -> None:
    result = ("int32", ()) if op.startswith("reduce") else WHOLE
    model = load(package(tmp_path, op, result, x, **given))
    with pytest.raises(ArtifactInvalid, match=f"^{op} y: the result y does not fit int32"):
        model.predict({"x": np.array(values, np.int32)})
    model.predict({"x": np.array([3, 2], np.int32)})


def test_the_lowest_integer_over_minus_one_does_not_end_the_process(tmp_path: Path) -> None:
    """The processor's own division raises SIGFPE for it."""
    for op, x, given in (
        ("real_div", "x", {"y": np.int32(-1)}),
        ("mod", "x", {"y": np.int32(-1)}),
        ("scatter", "data", {"indices": np.array([0]), "updates": np.array([-1]),
                             "mode": Text("div")}),
    ):  # fmt: skip
        package(tmp_path / op, op, WHOLE, x, **given)
    script = (
        "import sys, numpy, pathlib; from mobilesdk.coreml import load\n"
        "from mobilesdk.errors import ArtifactInvalid\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*/m')):\n"
        "    try: print(load(path).predict({'x': numpy.array([-(2**31), 1], 'int32')})['y'])\n"
        "    except ArtifactInvalid as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[0 0]",
        "real_div y: the result y does not fit int32",
        "scatter y: the result y does not fit int32",
    ]


@pytest.mark.parametrize(
    ("op", "given"),
    [
        ("real_div", {"x": [LOWEST], "y": [-1]}),
        ("add", {"x": [2**62], "y": [2**62]}),
        ("mul", {"x": [2**32], "y": [2**32]}),
        ("abs", {"x": [LOWEST]}),
        ("pow", {"x": [2], "y": [64]}),
        ("reduce_sum_square", {"x": [2**31] * 4}),
        ("reduce_prod", {"x": [2**16] * 4}),
        ("reduce_sum", {"x": [2**62] * 4}),
        ("cumsum", {"x": [2**62] * 4}),
    ],
)
def test_what_64_bits_cannot_hold_is_refused_too(op: str, given: dict[str, list[int]]) -> None:
    with pytest.raises(OpError, match="64 bits cannot hold"):
        call(op, **{name: torch.tensor(values) for name, values in given.items()})


@pytest.mark.parametrize("op", ["real_div", "floor_div", "mod"])
def test_integers_are_not_divided_by_zero(op: str) -> None:
    with pytest.raises(ZeroDivisionError):
        call(op, x=whole(1), y=whole(0))


def test_integers_that_fit_are_exact() -> None:
    assert call("real_div", x=whole(-7), y=whole(2)).item() == -3
    assert call("floor_div", x=whole(-7), y=whole(2)).item() == -4
    assert call("mod", x=whole(-7), y=whole(2)).item() == 1
    assert call("mul", x=whole(HIGH), y=whole(HIGH)).item() == HIGH * HIGH
    assert call("reduce_sum_square", x=whole(HIGH)).item() == HIGH * HIGH
    assert call("reduce_mean", x=whole(-3, -4)).item() == -3
