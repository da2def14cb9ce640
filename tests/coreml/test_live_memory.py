"""The limit of memory: what is held at a time counts, once; what is freed counts no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.coreml import RunLimits, load
from mobilesdk.coreml.live_memory import SMALLEST_BYTES, LiveMemory
from mobilesdk.coreml.ops.lists import TensorList
from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.errors import LimitExceeded
from tests.coreml.programs import Block, Function, Typed, write

COUNT = 1 << 14  # 64 KiB of float32
LARGE: Typed = ("float32", (COUNT,))
SCALAR: Typed = ("float32", ())
WHOLE: Typed = ("int32", ())
LARGE_BYTES = 4 * COUNT


def function() -> Function:
    return Function({"x": SCALAR}, ("y",))


def fill(body: Block, name: str) -> str:
    return body.op("fill", {name: LARGE}, shape=np.array([COUNT], np.int32), value="x")


def run(root: Path, made: Function, larges: float) -> Any:
    """Run with room for so many large tensors, and for some small ones."""
    limits = RunLimits(memory_bytes=int(larges * LARGE_BYTES) + 1000)
    model = load(write(root / "m", made), limits=limits)
    for _ in range(3):  # nothing of a run counts in the next one
        found = model.predict({"x": np.float32(1)})["y"]
    return found


def test_tensors_that_are_held_count_together(tmp_path: Path) -> None:
    made = function()
    for index in range(4):
        fill(made.body, f"t{index}")
    made.body.op("add", {"a": LARGE}, x="t0", y="t1")
    made.body.op("add", {"b": LARGE}, x="t2", y="t3")
    made.body.op("add", {"y": LARGE}, x="a", y="b")
    assert run(tmp_path / "fits", made, 4)[0] == 4
    with pytest.raises(LimitExceeded, match=r"fill t3: with it, .* the limit is") as caught:
        run(tmp_path / "not", made, 3)
    assert "higher limits" in caught.value.hint


def test_tensors_that_are_freed_count_no_more(tmp_path: Path) -> None:
    made = function()
    last = fill(made.body, "t")
    for index in range(20):
        last = made.body.op("add", {f"t{index}": LARGE}, x=last, y=np.float32(1))
    made.body.op("reduce_max", {"y": SCALAR}, x=last, keep_dims=np.bool_(False))
    assert run(tmp_path, made, 2) == 21


def test_values_that_share_memory_count_once(tmp_path: Path) -> None:
    made = function()
    fill(made.body, "t")
    views = [
        made.body.op("expand_dims", {f"v{axes}": ("float32", (1,) * axes + (COUNT,))}, x="t",
                     axes=np.arange(axes, dtype=np.int32))
        for axes in range(1, 9)
    ]  # fmt: skip
    peaks = [
        made.body.op("reduce_max", {f"m{view}": SCALAR}, x=view, keep_dims=np.bool_(False))
        for view in views
    ]
    made.body.op("stack", {"y": ("float32", (8,))}, values=list(peaks), axis=np.int32(0))
    assert run(tmp_path, made, 1).tolist() == [1] * 8


def parts(made: Function, count: int) -> Function:
    """Keep one element of each of several large tensors, as views of them."""
    names = [
        made.body.op("slice_by_size", {f"p{index}": ("float32", (1,))},
                     x=fill(made.body, f"t{index}"), begin=np.zeros(1, np.int32),
                     size=np.ones(1, np.int32))
        for index in range(count)
    ]  # fmt: skip
    made.body.op("concat", {"y": ("float32", (count,))}, values=list(names), axis=np.int32(0))
    return made


def test_a_part_keeps_the_whole(tmp_path: Path) -> None:
    assert run(tmp_path / "fits", parts(function(), 5), 5).shape == (5,)
    with pytest.raises(LimitExceeded, match="fill t4"):
        run(tmp_path / "not", parts(function(), 5), 4)


def looping(passes: int) -> Function:
    variables = {"i": WHOLE, "v": LARGE}
    test, body = Block(variables, ("more",)), Block(variables, ("next", "twice"))
    test.op("less", {"more": ("bool", ())}, x="i", y=passes)
    body.op("add", {"next": WHOLE}, x="i", y=1)
    body.op("add", {"half": LARGE}, x="v", y=np.float32(0))
    body.op("add", {"twice": LARGE}, x="half", y=np.float32(1))
    made = function()
    fill(made.body, "t")
    results = {"n": WHOLE, "y": LARGE}
    made.body.op("while_loop", results, (test, body), loop_vars=[0, "t"])
    return made


def test_a_loop_holds_no_more_than_two_passes(tmp_path: Path) -> None:
    assert run(tmp_path, looping(50), 6)[0] == 51


def test_lists_count_with_their_elements_each_once() -> None:
    element = torch.zeros(SMALLEST_BYTES // 4)
    zeros, mixed = TensorList((element,) * 1000), TensorList((element, torch.zeros_like(element)))
    memory = LiveMemory(1000 * 8 + 2 * 8 + 2 * SMALLEST_BYTES)
    memory.put(0, zeros)
    memory.put(1, mixed)
    with pytest.raises(TooLarge):
        memory.put(2, torch.zeros_like(element))
    memory.free(2)
    memory.free(0)
    memory.put(2, torch.zeros_like(element))


def test_constants_count_for_good(tmp_path: Path) -> None:
    made = function()
    for name in ("a", "b"):
        weight = made.body.const(name, np.ones(COUNT, np.float32))
        made.body.op("reduce_sum", {f"s{name}": SCALAR}, x=weight, keep_dims=np.bool_(False))
    made.body.op("add", {"y": SCALAR}, x="sa", y="sb")
    assert run(tmp_path / "fits", made, 2) == 2 * COUNT
    with pytest.raises(LimitExceeded, match="const b: with it"):
        run(tmp_path / "not", made, 1.5)


def test_inputs_count(tmp_path: Path) -> None:
    made = Function({"x": LARGE}, ("y",))
    made.body.op("reduce_sum", {"y": SCALAR}, x="x", keep_dims=np.bool_(False))
    model = load(write(tmp_path / "m", made), limits=RunLimits(memory_bytes=LARGE_BYTES - 1))
    with pytest.raises(LimitExceeded, match="The inputs: with it"):
        model.predict({"x": np.ones(COUNT, np.float32)})
