"""What ``mobilesdk inspect`` shows of a package that is more than arrays of one shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.coreml.programs import Function, ranges, write
from tests.coreml.test_interface import classifier, listed
from tests.flatbuffers.tflite_files import dense_at

SINGLE = "float32"


def flexible() -> Function:
    made = Function({"x": (SINGLE, (None, 4))}, ("y",), allowed={"x": ranges((2, 5), (4, 4))})
    made.body.op("relu", {"y": (SINGLE, (None, 4))}, x="x")
    return made


def pictured() -> Function:
    made = Function({"x": (SINGLE, (1, 3, 4, 5))}, ("y",), images={"x": "bgr"})
    made.body.op("relu", {"y": (SINGLE, (1, 3, 4, 5))}, x="x")
    return made


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (flexible(), "x: float32[-1, 4], allowed: [2…5, 4]"),
        (pictured(), "x: uint8[4, 5, 3], an image (bgr)"),
        (classifier(listed(("a", "b", "c"))), "label: the best of 3 classes by probs (a, b, c)"),
        (
            classifier(listed(("a", "b", "c", "d")), size=4),
            "label: the best of 4 classes by probs (a, b, c, …)",
        ),
    ],
)
def test_each_kind_is_told(made: Function, shown: str, tmp_path: Path, command_line: Any) -> None:
    result = command_line("inspect", write(tmp_path / "m.mlpackage", made))
    assert result.code == 0, result.err
    assert shown in result.out


def test_functions_are_told_if_there_are_several(tmp_path: Path, command_line: Any) -> None:
    several = write(tmp_path / "several.mlpackage", flexible(), other=pictured())
    alone = write(tmp_path / "alone.mlpackage", flexible())
    shown = command_line("inspect", several).out
    assert "function main, which runs by default" in shown
    assert "function other" in shown
    assert "not run: other" in shown
    assert "runs by default" not in command_line("inspect", alone).out


def test_signatures_are_told_with_their_sizes(tmp_path: Path, command_line: Any) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(dense_at(dict.fromkeys((1, 3), np.ones((4, 2), np.float32))))
    shown = " ".join(command_line("inspect", file).out.split())
    assert "signatures: 2, one for each size" in shown
    assert "rows_3: args_0: float32[3, 2]" in shown
    assert "allowed: [1, 2] or [3, 2]" in shown
