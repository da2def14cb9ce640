"""Where the checks for silent faults end: what is next to a fault and is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.runtimes.coreml import PLUGIN

from .building import Builder, text
from .programs import Function, Text, write

LARGE, SMALL = (64, 64), (8, 8)
SHAPE = (1, 4)


def inspect(builder: Builder, tmp_path: Path) -> ArtifactInfo:
    return PLUGIN.inspect(builder.package(tmp_path / "m.mlpackage"))


def scaled(
    builder: Builder, name: str, shape: tuple[int, int], blocks: int = 1, scale: float = 1
) -> None:
    inputs: dict[str, bytes | str] = {
        "data": builder.stored(np.ones(shape), "int8"),
        "scale": builder.stored(np.full((shape[0], blocks), scale), "float16"),
    }
    builder.add("constexpr_blockwise_shift_scale", inputs, [(name, "float16", shape)])


def rounded(builder: Builder, dtype: str, scale: float, *users: str) -> None:
    """Build ``linear → quantize → dequantize → users`` over a range."""
    builder.constant("w", np.ones((4, 4)), "float16")
    builder.constant("s", np.array(scale), "float16")
    builder.constant("low", np.array(0.0), "float16")
    builder.constant("high", np.array(6.0), "float16")
    builder.add("linear", {"x": "x", "weight": "w"}, [("a", "float16", SHAPE)])
    builder.add("quantize", {"input": "a", "scale": "s"}, [("q", dtype, SHAPE)])
    builder.add("dequantize", {"input": "q", "scale": "s"}, [("d", "float16", SHAPE)])
    for place, op in enumerate(users):
        inputs: dict[str, bytes | str] = {"x": "d"}
        if op == "clip":
            inputs |= {"alpha": "low", "beta": "high"}
        builder.add(op, inputs, [(f"y{place}", "float16", SHAPE)])


@pytest.mark.parametrize(
    ("dtype", "scale", "users", "words"),
    [
        ("int8", 0.1, ("clip",), "a (linear): rounded over -12.8…12.7 before clip cuts it to 0…6"),
        ("int8", 0.1, ("relu",), "before relu cuts it to 0…inf"),
        ("uint8", 0.1, ("relu6",), "rounded over 0…25.49 before relu6 cuts it to 0…6"),
        ("uint8", 6 / 255, ("clip",), ""),  # saturation is the clamp
        ("uint8", 6 / 255, ("relu6",), ""),
        ("uint8", 0.1, ("relu",), ""),
        ("int8", 0.1, ("exp",), ""),
        ("int8", 0.1, ("relu", "exp"), ""),  # the other one needs the whole range
        ("int8", 0.1, ("relu6", "clip"), "over -12.8…12.7 before relu6 and clip cut it to 0…6"),
        ("int8", 0.1, ("relu6", "relu"), "before relu6 and relu cut it to 0…inf"),
        ("uint8", 0.1, ("relu6", "relu"), ""),  # one of them lets all through
        ("int8", 0.1, (), ""),
    ],
)
def test_a_clamp_may_not_cut_what_was_rounded_for_it_alone(
    dtype: str, scale: float, users: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    builder = Builder()
    rounded(builder, dtype, scale, *users)
    problems = inspect(builder, tmp_path).problems
    assert (words in problems[0]) if words else problems == ()


WEIGHTS = [
    *[("conv", "weight"), ("conv_transpose", "weight"), ("linear", "weight"), ("gather", "x")],
    *[("matmul", "x"), ("matmul", "y"), ("lstm", "weight_ih"), ("gru", "weight_hh")],
]
OPERANDS = [
    *[("add", "y"), ("mul", "x"), ("concat", "values"), ("layer_norm", "gamma"), ("linear", "x")],
    *[("scaled_dot_product_attention", "attn_mask"), ("einsum", "values"), ("scatter", "data")],
]


@pytest.mark.parametrize(
    ("op", "parameter", "fault"),
    [*((*taken, False) for taken in WEIGHTS), *((*taken, True) for taken in OPERANDS)],
)
def test_only_a_weight_of_a_layer_may_be_compressed(
    op: str, parameter: str, fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", SMALL)
    consumer = op if op != "concat" else "add"  # what is joined counts as what it is then taken as
    builder.consume("w", op, parameter)
    if op == "concat":
        builder.add(consumer, {"x": "x", "y": "w_used"}, [("sum", "float16", SHAPE)])
    named = f"w ({consumer}): compressed, but it is an operand and no weight of a layer"
    problems = inspect(builder, tmp_path).problems
    assert any(named in problem for problem in problems) == fault


@pytest.mark.parametrize("last", ["linear", "add"])
@pytest.mark.parametrize(
    "mover", ["reshape", "slice_by_index", "slice_by_size", "transpose", "expand_dims", "tile"]
)
def test_a_compressed_constant_is_followed_through_what_moves_it(
    mover: str, last: str, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", SMALL)
    builder.add(mover, {"x": "w"}, [("moved", "float16", SMALL)])
    builder.add("identity", {"x": "moved"}, [("again", "float16", SMALL)])
    builder.consume("again", last, "weight" if last == "linear" else "y")
    found = [item for item in inspect(builder, tmp_path).problems if "no weight" in item]
    assert [item.partition(":")[0] for item in found] == ["w (add)"] * (last == "add")


@pytest.mark.parametrize("order", [("linear", "add"), ("add", "linear")])
def test_every_use_of_a_constant_counts(order: tuple[str, str], tmp_path: Path) -> None:
    builder = Builder()
    scaled(builder, "w", SMALL)
    for place, op in enumerate(order):
        taken: dict[str, bytes | str] = {"x": "x", "weight" if op == "linear" else "y": "w"}
        builder.add(op, taken, [(f"y{place}", "float16", SHAPE)])
    info = inspect(builder, tmp_path)
    assert [weight.op for weight in info.weights] == ["linear"]
    assert [item for item in info.problems if "no weight" in item] == [
        "w (add): compressed, but it is an operand and no weight of a layer."
    ]


@pytest.mark.parametrize("first", ["add", "linear"])
def test_a_lint_of_weights_sees_a_weight_that_is_an_operand_before(
    first: str, tmp_path: Path
) -> None:
    builder = Builder()
    builder.constant("w", np.zeros(LARGE), "float16")
    for place, op in enumerate((first, "linear")):
        taken: dict[str, bytes | str] = {"x": "x", "weight" if op == "linear" else "y": "w"}
        builder.add(op, taken, [(f"y{place}", "float16", SHAPE)])
    assert inspect(builder, tmp_path).suspicions == ("w (linear): all 4096 values are zero.",)


def test_a_cast_constant_is_not_compressed(tmp_path: Path) -> None:
    builder = Builder()
    inputs: dict[str, bytes | str] = {
        "source_val": builder.stored(np.ones(SMALL), "float16"),
        "output_dtype": text("fp32"),
    }
    builder.add("constexpr_cast", inputs, [("w", "float32", SMALL)], {})
    builder.consume("w", "add", "y")
    assert not any("compressed" in item for item in inspect(builder, tmp_path).problems)


@pytest.mark.parametrize(("shape", "fault"), [(LARGE, True), (SMALL, False)])
def test_large_constants_may_not_outgrow_themselves(
    shape: tuple[int, int], fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", shape, blocks=shape[1])  # a scale for each element
    builder.consume("w")
    problems = inspect(builder, tmp_path).problems
    assert any("more than the 8192 that it takes" in problem for problem in problems) == fault


@pytest.mark.parametrize(("size", "skipped"), [(64, False), (72, True), (24, False)])
def test_a_dense_weight_is_suspect_if_it_does_not_divide(
    size: int, skipped: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", LARGE, blocks=4)
    builder.consume("w")
    builder.constant("dense", np.ones((64, size)), "float16")
    builder.consume("dense")
    suspicions = inspect(builder, tmp_path).suspicions
    assert ["into blocks of 16" in item for item in suspicions] == [True] * skipped


@pytest.mark.parametrize(
    ("rows", "through", "fault"),
    [(3000, "float16", True), (2000, "float16", False), (3000, "int32", False)],
)
def test_ids_of_large_tables_may_not_pass_through_float16(
    rows: int, through: str, fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    builder.constant("table", np.ones((rows, 2)), "float16")
    builder.constant("zero", np.array(0), "int32")
    builder.add("argmax", {"x": "x"}, [("ids", "int32", SHAPE)])
    builder.add("cast", {"x": "ids"}, [("between", through, SHAPE)])
    builder.add("cast", {"x": "between"}, [("back", "int32", SHAPE)])
    builder.add(
        "gather",
        {"x": "table", "indices": "back", "axis": "zero"},
        [("y", "float16", (1, 4, 2))],
    )
    problems = inspect(builder, tmp_path).problems
    assert any("ids pass through float16 in between" in item for item in problems) == fault


HANDED_ON: dict[str, dict[str, Any]] = {
    "concat": {"values": ["back", "back"], "axis": np.int32(0), "interleave": np.bool_(False)},
    "stack": {"values": ["back", "back"], "axis": np.int32(0)},
    "mul": {"x": "back", "y": np.int32(2)},
    "mod": {"x": "back", "y": np.int32(5000)},
    "clip": {"x": "back", "alpha": np.int32(0), "beta": np.int32(5000)},
    "split": {"x": "back", "num_splits": np.int32(1), "axis": np.int32(0)},
    "sub": {"x": np.int32(4000), "y": "back"},
}
LOOKED_UP: dict[str, dict[str, Any]] = {
    "gather": {"axis": np.int32(0)},
    "gather_along_axis": {"axis": np.int32(0)},
    "gather_nd": {"batch_dims": np.int32(0)},
}


def looked_up(
    root: Path, kind: str, through: str, handed_on: str = "", shape: tuple[int, int] = (3000, 2)
) -> ArtifactInfo:
    """Build ``argmax → cast → cast → handed_on → kind`` over a table."""
    made = Function({"x": ("float32", (4, 2))}, ("y",))
    made.body.const("table", np.ones(shape, np.float32))
    made.body.op("reduce_argmax", {"ids": ("int32", (4, 1))}, x="x", axis=np.int32(1))
    made.body.op("cast", {"between": (through, (4, 1))}, x="ids", dtype=Text("fp16"))
    made.body.op("cast", {"back": ("int32", (4, 1))}, x="between", dtype=Text("int32"))
    if handed_on:
        made.body.op(handed_on, {"last": ("int32", (4, 1))}, **HANDED_ON[handed_on])
    ids = "last" if handed_on else "back"
    made.body.op(kind, {"y": ("float32", (4, 2))}, x="table", indices=ids, **LOOKED_UP[kind])
    return PLUGIN.inspect(write(root / "m.mlpackage", made))


@pytest.mark.parametrize("through", ["float16", "int32"])
@pytest.mark.parametrize("handed_on", HANDED_ON)
def test_ids_are_followed_through_what_hands_them_on(
    handed_on: str, through: str, tmp_path: Path
) -> None:
    problems = looked_up(tmp_path, "gather", through, handed_on).problems
    assert any("float16 in between" in item for item in problems) == (through == "float16")


@pytest.mark.parametrize(
    ("kind", "shape", "fault"),
    [
        ("gather_along_axis", (3000, 2), True),
        ("gather_nd", (3000, 2), True),
        ("gather_nd", (2, 3000), False),  # the indices have one place: of the first axis
    ],
)
def test_every_way_to_look_up_ids_is_checked(
    kind: str, shape: tuple[int, int], fault: bool, tmp_path: Path
) -> None:
    problems = looked_up(tmp_path, kind, "float16", shape=shape).problems
    assert any("there are 3000 rows" in item for item in problems) == fault


@pytest.mark.parametrize(
    ("tiny", "words"),
    [
        (np.full(LARGE, 2.0**-15), "4096 of 4096 values lie below the normal range of float16"),
        (np.where(np.arange(64) < 63, 2.0**-15, 2.0**-8), "loses 6.19 % of the weight"),
        (np.where(np.arange(64) < 63, 2.0**-15, 1.0), ""),
        (np.zeros(LARGE), "all 4096 values are zero"),
        (np.zeros(SMALL), "all 64 values are zero"),
        (np.full(LARGE, 2.0**-14), ""),
    ],
)
def test_a_weight_that_float16_hardly_holds_is_suspect(
    tiny: Any, words: str, tmp_path: Path
) -> None:
    builder = Builder()
    builder.constant("w", np.broadcast_to(tiny, tiny.shape if tiny.ndim > 1 else LARGE), "float16")
    builder.consume("w")
    suspicions = inspect(builder, tmp_path).suspicions
    assert (words in suspicions[0]) if words else suspicions == ()


@pytest.mark.parametrize("op", ["add", "mul"])
def test_a_constant_of_zeros_that_is_no_weight_is_no_fault(op: str, tmp_path: Path) -> None:
    builder = Builder()
    builder.constant("b", np.zeros(LARGE), "float16")
    builder.consume("b", op, "y")
    assert inspect(builder, tmp_path).suspicions == ()
