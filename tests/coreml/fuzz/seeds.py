"""Small sound packages that use most of what a package may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.coreml.fuzz.compressed import compressed
from tests.coreml.fuzz.mutate import Files
from tests.coreml.fuzz.operations import operations
from tests.coreml.programs import Block, Function, Text, write

HALF, SINGLE, WHOLE, TRUTH = "float16", "float32", "int32", "bool"
RANDOM = np.random.default_rng(0)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float16)


def single(op: str, of: tuple[str, Any], result: tuple[str, Any], x: str = "x", **more: Any) -> Any:
    """Give a function of one operation."""
    made = Function({"x": of}, ("y",))
    made.body.op(op, {"y": result}, **({x: "x"} | more))
    return made


def network() -> Function:
    made = Function({"x": (HALF, (1, 3, 8, 8))}, ("y",), images={"x": "rgb"})
    body = made.body
    body.op("mul", {"s": (HALF, (1, 3, 8, 8))}, x="x", y=np.float16(1 / 255))
    weight = body.const("weight", floats(4, 3, 3, 3))
    body.op("conv", {"a": (HALF, (1, 4, 4, 4))}, x="s", weight=weight, strides=ints(2, 2),
            pad_type=Text("custom"), pad=ints(1, 1, 1, 1), dilations=ints(1, 1),
            groups=np.int32(1))  # fmt: skip
    body.op("relu6", {"b": (HALF, (1, 4, 4, 4))}, x="a")
    body.op("max_pool", {"c": (HALF, (1, 4, 2, 2))}, x="b", kernel_sizes=ints(2, 2),
            strides=ints(2, 2), pad_type=Text("valid"), pad=ints(0, 0, 0, 0),
            ceil_mode=np.bool_(False))  # fmt: skip
    up = body.const("up", floats(4, 2, 2, 2))
    body.op("conv_transpose", {"d": (HALF, (1, 2, 4, 4))}, x="c", weight=up, strides=ints(2, 2),
            pad_type=Text("valid"))  # fmt: skip
    body.op("reshape", {"e": (HALF, (1, 32))}, x="d", shape=ints(1, 32))
    last = body.const("last", floats(5, 32))
    body.op("linear", {"f": (HALF, (1, 5))}, x="e", weight=last, bias=floats(5))
    body.op("softmax", {"y": (HALF, (1, 5))}, x="f", axis=np.int32(-1))
    return made


def loop() -> Function:
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    scalar = (WHOLE, ())
    condition = Block({"i": scalar, "v": (SINGLE, (2,))}, ("go",))
    condition.op("less", {"go": (TRUTH, ())}, x="i", y=np.int32(3))
    body = Block({"j": scalar, "w": (SINGLE, (2,))}, ("next", "sum"))
    body.op("add", {"next": scalar}, x="j", y=np.int32(1))
    body.op("add", {"sum": (SINGLE, (2,))}, x="w", y="x")
    made.body.op("identity", {"start": scalar}, x=np.int32(0))
    results = {"k": scalar, "y": (SINGLE, (2,))}
    made.body.op("while_loop", results, (condition, body), loop_vars=["start", "x"])
    return made


def branches() -> Function:
    made = Function({"x": (SINGLE, (2,)), "n": (WHOLE, ())}, ("y",))
    made.body.op("cast", {"c": (TRUTH, ())}, x="n", dtype=Text("bool"))
    blocks = []
    for name, op in (("p", "relu"), ("q", "abs")):
        block = Block({}, (name,))
        block.op(op, {name: (SINGLE, (2,))}, x="x")
        blocks.append(block)
    made.body.op("cond", {"y": (SINGLE, (2,))}, tuple(blocks), pred="c")
    return made


def state() -> Function:
    made = Function({"x": (HALF, (2,))}, ("y",), states={"s": (HALF, (2,))})
    made.body.op("read_state", {"old": (HALF, (2,))}, input="s")
    made.body.op("add", {"y": (HALF, (2,))}, x="old", y="x")
    made.body.op("write_state", {}, input="s", data="y")
    return made


def flexible() -> Function:
    made = Function({"x": (SINGLE, (1, None, 4))}, ("y",))
    made.body.op("shape", {"n": (WHOLE, (3,))}, x="x")
    made.body.op("fill", {"z": (SINGLE, (None, None, None))}, shape="n", value=np.float32(1))
    made.body.op("tile", {"t": (SINGLE, (None, None, None))}, x="x", reps=ints(2, 1, 3))
    made.body.op("concat", {"y": (SINGLE, (None, None, None))}, values=["x", "z"],
                 axis=np.int32(1), interleave=np.bool_(False))  # fmt: skip
    return made


def several() -> list[Function]:
    """Give functions of one operation with several results or arguments."""
    top = Function({"x": (SINGLE, (4,))}, ("y",))
    results = {"y": (SINGLE, (2,)), "places": (WHOLE, (2,))}
    top.body.op("topk", results, x="x", k=np.int32(2), axis=np.int32(-1))
    product = Function({"x": (SINGLE, (2, 3))}, ("y",))
    product.body.op(
        "einsum", {"y": (SINGLE, (2, 2))}, values=["x", "x"], equation=Text("ij,kj->ik")
    )
    return [top, product]


def singles() -> list[Function]:
    image, vector = (SINGLE, (1, 2, 4, 4)), (SINGLE, (4,))
    return [
        single("pad", image, (SINGLE, (1, 2, 6, 4)), pad=ints(1, 1, 0, 0), mode=Text("constant"),
               constant_val=np.float32(0)),
        single("pad", image, (SINGLE, (1, 2, 6, 6)), pad=ints(1, 1, 1, 1), mode=Text("reflect"),
               constant_val=np.float32(0)),
        single("one_hot", (WHOLE, (3,)), (WHOLE, (3, 5)), x="indices",
               one_hot_vector_size=np.int32(5), axis=np.int32(-1)),
        single("range_1d", (WHOLE, ()), (WHOLE, (None,)), x="end", start=np.int32(0),
               step=np.int32(1)),
        single("gather", vector, (SINGLE, (2,)), indices=ints(0, 3), axis=np.int32(0),
               batch_dims=np.int32(0)),
        single("scatter", vector, (SINGLE, (4,)), x="data", indices=ints(0, 3),
               updates=np.ones(2, np.float32), axis=np.int32(0), mode=Text("add")),
        single("slice_by_index", image, (SINGLE, (1, 1, 4, 2)), begin=ints(0, 0, 0, 0),
               end=ints(1, 1, 4, 4), stride=ints(1, 1, 1, 2)),
        single("resize_bilinear", image, (SINGLE, (1, 2, 8, 8)), target_size_height=np.int32(8),
               target_size_width=np.int32(8), sampling_mode=Text("DEFAULT")),
        single("upsample_nearest_neighbor", image, (SINGLE, (1, 2, 8, 8)),
               scale_factor_height=np.float32(2), scale_factor_width=np.float32(2)),
        single("avg_pool", image, (SINGLE, (1, 2, 2, 2)), kernel_sizes=ints(2, 2),
               strides=ints(2, 2), pad_type=Text("same"), ceil_mode=np.bool_(False),
               exclude_padding_from_average=np.bool_(True)),
        single("reduce_sum", image, (SINGLE, (1, 2)), axes=ints(2, 3), keep_dims=np.bool_(False)),
        single("transpose", image, (SINGLE, (4, 4, 2, 1)), perm=ints(3, 2, 1, 0)),
        single("expand_dims", vector, (SINGLE, (1, 4, 1)), axes=ints(0, 2)),
        single("batch_norm", image, image, mean=np.zeros(2, np.float32),
               variance=np.ones(2, np.float32)),
        single("layer_norm", image, image, axes=ints(2, 3)),
        single("space_to_depth", image, (SINGLE, (1, 8, 2, 2)), block_size=np.int32(2)),
        single("space_to_batch", image, (SINGLE, (4, 2, 2, 2)), block_shape=ints(2, 2),
               paddings=np.zeros((2, 2), np.int32)),
        single("sliding_windows", vector, (SINGLE, (3, 2)), axis=np.int32(0), size=np.int32(2),
               stride=np.int32(1)),
        single("matmul", (SINGLE, (2, 3)), (SINGLE, (2, 2)), y=np.ones((3, 2), np.float32)),
        single("cumsum", vector, vector, axis=np.int32(0)),
        single("cast", vector, (WHOLE, (4,)), dtype=Text("int32")),
        single("quantize", vector, ("int8", (4,)), x="input", scale=np.float32(0.5),
               output_dtype=Text("int8")),
    ]  # fmt: skip


def all_seeds(folder: Path) -> list[Files]:
    """Write the sound packages into a folder and give their files."""
    functions = [
        network(),
        loop(),
        branches(),
        state(),
        flexible(),
        *several(),
        *singles(),
        *compressed(),
        *operations(),
    ]
    paths = [write(folder / f"function{i}", made) for i, made in enumerate(functions)]
    paths.append(write(folder / "two", network(), other=state()))
    return [_files(path) for path in paths]


def _files(path: Path) -> Files:
    data = path / "Data" / "com.apple.CoreML"
    manifest = json.dumps(json.loads((path / "Manifest.json").read_bytes()), sort_keys=True)
    return Files(
        manifest.encode(),
        (data / "model.mlmodel").read_bytes(),
        (data / "weights" / "weight.bin").read_bytes(),
    )
