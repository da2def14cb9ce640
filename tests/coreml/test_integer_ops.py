"""Which operations take integers is read from the conversions around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.runtimes.coreml import PLUGIN

from .building import Builder

SHAPE = (1, 4)


def build(tmp_path: Path, *operations: tuple[str, str, str]) -> dict[str, str]:
    """Build operations of a type, what they take and what they give; give their types by result."""
    builder = Builder()
    builder.constant("s", np.array(0.5), "float16")
    builder.constant("w", np.ones((4, 4)), "float16")
    for op, taken, given in operations:
        inputs: dict[str, bytes | str] = {"input" if "quantize" in op else "x": taken}
        if "quantize" in op:
            inputs["scale"] = "s"
        if op == "linear":
            inputs["weight"] = "w"
        if op == "add":
            inputs["x"], inputs["y"] = taken.split("+")
        dtype = "uint8" if op == "quantize" else "float16"
        builder.add(op, inputs, [(given, dtype, SHAPE)])
    info = PLUGIN.inspect(builder.package(tmp_path / "m.mlpackage"))
    return {op.name: op.dtype for op in info.ops}


ROUNDED = (("quantize", "x", "q"), ("dequantize", "q", "d"))


@pytest.mark.parametrize("op", ["linear", "max_pool", "avg_pool"])
def test_an_operation_on_dequantized_values_takes_integers(op: str, tmp_path: Path) -> None:
    types = build(tmp_path, *ROUNDED, (op, "d", "a"), ("relu6", "a", "y"))
    assert types == {"q": "uint8", "d": "uint8", "a": "uint8", "y": "uint8"}


@pytest.mark.parametrize(
    ("operations", "floats"),
    [
        ((("linear", "x", "a"), ("relu6", "a", "y")), {"a", "y"}),
        ((("exp", "d", "y"),), {"y"}),
        ((("relu6", "d", "y"),), {"y"}),
        ((("linear", "d", "a"), ("clip", "a", "y")), {"y"}),
        ((("linear", "d", "a"), ("relu", "a", "b"), ("relu", "b", "y")), {"y"}),
        ((("linear", "d", "a"), ("relu", "a", "b"), ("exp", "a", "y")), {"b", "y"}),
        ((("linear", "d", "y"), ("relu", "y", "b")), {"b"}),
        ((("add", "d+x", "y"),), {"y"}),
        ((("add", "d+d", "a"), ("tanh", "a", "y")), set()),
        ((("add", "d+s", "y"),), {"y"}),
    ],
)
def test_only_activations_that_are_one_with_it_share_its_type(
    operations: tuple[tuple[str, str, str], ...], floats: set[str], tmp_path: Path
) -> None:
    types = build(tmp_path, *ROUNDED, *operations)
    assert {name for name, dtype in types.items() if dtype == "float16"} == floats
