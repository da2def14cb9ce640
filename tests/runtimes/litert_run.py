"""Run small files with the LiteRT runtime in a process of its own, and print what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.dimension import Dimension
from mobilesdk.errors import MobileSDKError
from mobilesdk.runtimes.litert import PLUGIN
from tests.flatbuffers.tflite_files import File, dense, dense_at

OPS = schema.BuiltinOperator
WEIGHT = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
X = np.array([[1, -1]], np.float32)


def spec(name: str, shape: tuple[int, ...], dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype}


def contract(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> Contract:
    return Contract(
        inputs=tuple(InputSpec(**item) for item in inputs),
        outputs=tuple(OutputSpec(**item) for item in outputs),
    )


def many_inputs() -> bytes:
    """Give a file with eleven inputs, each to its own output; names in alphabetical order."""
    file = File()
    inputs, outputs = {}, {}
    for number in range(11):
        inputs[f"args_{number}"] = file.value(f"x{number}", (1,), "float32")
        outputs[f"output_{number}"] = file.value(f"y{number}", (1,), "float32")
        file.operator(OPS.NEG, [inputs[f"args_{number}"]], [outputs[f"output_{number}"]])
    return file.pack(dict(sorted(inputs.items())), dict(sorted(outputs.items())))


def ids() -> bytes:
    """Give a file that negates int32 ids."""
    file = File()
    x, y = file.value("x", (1, 2), "int32"), file.value("y", (1, 2), "int32")
    file.operator(OPS.MUL, [x, x], [y], schema.MulOptionsT())
    return file.pack({"args_0": x}, {"output_0": y})


def integers() -> bytes:
    """Give a file with int8 inputs and outputs that adds a number to itself."""
    file = File()
    x = file.value("x", (1, 2), "int8", scale=[0.5], zeroPoint=[10])
    y = file.value("y", (1, 2), "int8", scale=[1.0], zeroPoint=[-3])
    file.operator(OPS.ADD, [x, x], [y], schema.AddOptionsT())
    return file.pack({"args_0": x}, {"output_0": y})


def unscaled() -> bytes:
    """Give a file whose int8 input has no scale."""
    file = File()
    x, y = file.value("x", (1, 2), "int8"), file.value("y", (1, 2), "float32")
    file.operator(OPS.CAST, [x], [y])
    return file.pack({"args_0": x}, {"output_0": y})


ROWS = Dimension(name="rows", sizes=(1, 3), axes={"x": 0})
TALL = np.tile(X, (3, 1))


def by_rows(*rows: int) -> tuple[bytes, Contract]:
    """Give a file with signatures for some numbers of rows; its contract lists 1 and 3."""
    agreed = contract([spec("x", (1, 2))], [spec("y", (1, 3)) | {"varying": (0,)}])
    dimensions = agreed.model_copy(update={"dimensions": (ROWS,)})
    return dense_at(dict.fromkeys(rows, WEIGHT)), dimensions


ONE = [spec("image", (1, 2))]
LOGITS = [spec("logits", (1, 3))]
ELEVEN = {f"in{number}": np.array([number], np.float32) for number in range(11)}
CASES: dict[str, tuple[bytes, Contract, dict[str, np.ndarray]]] = {
    "dense": (dense(WEIGHT), contract(ONE, LOGITS), {"image": X}),
    "eleven": (
        many_inputs(),
        contract([spec(name, (1,)) for name in ELEVEN], [spec(f"out{n}", (1,)) for n in range(11)]),
        ELEVEN,
    ),
    "ids": (
        ids(),
        contract([spec("ids", (1, 2), "int64")], [spec("y", (1, 2), "int64")]),
        {"ids": np.array([[3, -4]])},
    ),
    "large_ids": (
        ids(),
        contract([spec("ids", (1, 2), "int64")], [spec("y", (1, 2), "int64")]),
        {"ids": np.array([[3, 1 << 40]])},
    ),
    "integers": (integers(), contract(ONE, [spec("y", (1, 2))]), {"image": X * 1000}),
    "unscaled": (unscaled(), contract(ONE, [spec("y", (1, 2))]), {"image": X}),
    "shape": (dense(WEIGHT), contract([spec("image", (1, 3))], LOGITS), {"image": X}),
    "count": (dense(WEIGHT), contract(ONE * 2, LOGITS), {"image": X}),
    "one_row": (*by_rows(1, 3), {"x": X}),
    "three_rows": (*by_rows(1, 3), {"x": TALL}),
    "two_rows": (*by_rows(1, 3), {"x": TALL[:2]}),
    "signature_missing": (*by_rows(1), {"x": X}),
    "signature_too_many": (*by_rows(1, 2, 3), {"x": X}),
    "damaged": (dense(WEIGHT)[:200], contract(ONE, LOGITS), {"image": X}),
}


def main(folder: Path) -> None:
    """Run every case; print outputs, or the error."""
    results: dict[str, Any] = {}
    for name, (content, agreed, inputs) in CASES.items():
        path = folder / f"{name}.tflite"
        path.write_bytes(content)
        try:
            outputs = PLUGIN.load(path, agreed, 1).run(inputs)
        except MobileSDKError as error:
            results[name] = {"error": error.to_json()}
        else:
            results[name] = {
                key: {"values": value.tolist(), "dtype": str(value.dtype)}
                for key, value in outputs.items()
            }
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
