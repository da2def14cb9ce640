"""Element types that do not go together are refused when a package is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.coreml import load
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.ops.arguments import SETTINGS
from mobilesdk.coreml.ops.registry import find, known_ops
from mobilesdk.coreml.signatures import FREE, SAME, VALUES, signature
from mobilesdk.errors import ArtifactInvalid, FileRejected
from tests.coreml.apart import write_packages
from tests.coreml.programs import Block, Function, Text, Typed, write

HALF: Typed = ("float16", (2,))
SINGLE: Typed = ("float32", (2,))
WHOLE: Typed = ("int32", (2,))
TRUTH: Typed = ("bool", (2,))
INPUTS = {"half": HALF, "single": SINGLE, "whole": WHOLE, "truth": TRUTH}
VALUES_GIVEN = {
    "half": np.ones(2, np.float16),
    "single": np.ones(2, np.float32),
    "whole": np.zeros(2, np.int32),
    "truth": np.ones(2, bool),
}


def package(root: Path, op: str, result: Typed, opset: str = "CoreML8", **given: Any) -> Path:
    made = Function(dict(INPUTS), ("y",), opset=opset)
    made.inputs.pop("truth")  # no model takes booleans
    made.body.op("greater", {"truth": TRUTH}, x="single", y=np.float32(0))
    made.body.op(op, {"y": result}, **given)
    return write(root / "m", made)


REFUSED = [
    ("relu", HALF, {"x": "single"}, "argument x is float32, its result y is float16"),
    ("relu", WHOLE, {"x": "whole"}, "argument x is int32; MIL has floats there"),
    ("reshape", HALF, {"x": "single", "shape": np.array([2])}, "its result y is float16"),
    ("maximum", HALF, {"x": "single", "y": np.float32(0)}, "its result y is float16"),
    ("clip", HALF, {"x": "half", "alpha": np.float32(0.1), "beta": np.float16(1)}, "alpha is"),
    ("add", SINGLE, {"x": "half", "y": "single"}, "its argument y is float32"),
    ("add", SINGLE, {"x": "single", "y": "whole"}, "its argument y is int32"),
    ("add", TRUTH, {"x": "truth", "y": "truth"}, "MIL has floats or integers there"),
    ("concat", SINGLE, {"values": ["half", "single"], "axis": np.int32(0)}, "float32"),
    ("gather", SINGLE, {"x": "single", "indices": "single"}, "indices is float32; MIL has int"),
    ("select", SINGLE, {"cond": "whole", "a": "single", "b": "single"}, "cond is int32"),
    ("logical_and", TRUTH, {"x": "single", "y": "single"}, "x is float32"),
    ("greater", SINGLE, {"x": "single", "y": "single"}, "y is float32; MIL has booleans"),
    ("cast", SINGLE, {"x": "single", "dtype": Text("fp16")}, "dtype is float16, its result y is"),
    ("cast", ("int8", (2,)), {"x": "single", "dtype": Text("int32")}, "dtype is int32"),
    ("cast", SINGLE, {"x": "single", "dtype": Text("fp12")}, "the type 'fp12' is not known"),
    ("softmax", SINGLE, {"x": "single", "axis": np.float32(0.7)}, "where whole numbers are"),
    ("reduce_sum", SINGLE, {"x": "single", "keep_dims": np.int32(3)}, "where booleans are taken"),
]


@pytest.mark.parametrize(("op", "result", "given", "told"), REFUSED)
def test_types_that_do_not_go_together_are_refused(
    tmp_path: Path, op: str, result: Typed, given: dict[str, Any], told: str
) -> None:
    path = package(tmp_path, op, result, **given)
    with pytest.raises(ArtifactInvalid, match=f"^{op} y: .*{told}"):
        load(path)


ALLOWED = [
    ("relu", HALF, {"x": "half"}),
    ("add", WHOLE, {"x": "whole", "y": "whole"}),
    ("concat", ("float32", (4,)), {"values": ["single", "single"], "axis": np.int32(0)}),
    ("gather", SINGLE, {"x": "single", "indices": "whole"}),
    ("select", SINGLE, {"cond": "truth", "a": "single", "b": "single"}),
    ("cast", HALF, {"x": "single", "dtype": Text("fp16")}),
    ("leaky_relu", HALF, {"x": "half", "alpha": np.float32(0.1)}),
]


@pytest.mark.parametrize(("op", "result", "given"), ALLOWED)
def test_types_that_go_together_run(
    tmp_path: Path, op: str, result: Typed, given: dict[str, Any]
) -> None:
    model = load(package(tmp_path, op, result, **given))
    model.predict({name: VALUES_GIVEN[name] for name in model.input_names})


def test_weights_have_a_type_of_their_own_from_ios_17_on(tmp_path: Path) -> None:
    given = {"x": "half", "weight": np.ones((2, 2), np.float32)}
    load(package(tmp_path / "new", "linear", HALF, "CoreML7", **given))
    with pytest.raises(ArtifactInvalid, match="weight is float32"):
        load(package(tmp_path / "old", "linear", HALF, "CoreML6", **given))
    with pytest.raises(ArtifactInvalid, match="its result y is float32"):
        load(package(tmp_path / "result", "linear", SINGLE, "CoreML7", **given))


def test_statistics_of_norms_have_a_type_of_their_own(tmp_path: Path) -> None:
    given = {"x": "half", "axes": np.array([0]), "gamma": np.ones(2, np.float32)}
    load(package(tmp_path / "old", "layer_norm", HALF, "CoreML5", **given))
    with pytest.raises(ArtifactInvalid, match="gamma is int32"):
        load(package(tmp_path / "m", "layer_norm", HALF, **given | {"gamma": np.ones(2, int)}))


def test_a_product_has_the_type_of_one_of_its_factors(tmp_path: Path) -> None:
    given = {"x": "whole", "y": np.ones((2, 2), np.float32)}
    load(package(tmp_path / "integers", "matmul", WHOLE, **given))
    load(package(tmp_path / "floats", "matmul", SINGLE, **given))
    with pytest.raises(ArtifactInvalid, match="x is int32, its result y is float16"):
        load(package(tmp_path / "other", "matmul", HALF, **given))


def branched(root: Path, of: Typed) -> Path:
    made = Function({"x": SINGLE}, ("y",))
    blocks = []
    for name in ("p", "q"):
        block = Block({}, (name,))
        block.op("relu", {name: SINGLE}, x="x")
        blocks.append(block)
    made.body.op("cond", {"y": of}, tuple(blocks), pred=np.bool_(True))
    return write(root / "m", made)


def test_what_a_branch_gives_is_as_declared(tmp_path: Path) -> None:
    load(branched(tmp_path / "same", SINGLE))
    with pytest.raises(ArtifactInvalid, match="cond y: p, of a nested block, is float32"):
        load(branched(tmp_path / "other", HALF))


def looped(root: Path, variable: Typed, step: Typed) -> Path:
    made = Function({"x": SINGLE}, ("y",))
    condition = Block({"v": variable}, ("go",))
    condition.op("less", {"go": ("bool", ())}, x=np.int32(3), y=np.int32(3))
    body = Block({"w": SINGLE}, ("next",))
    body.op("cast", {"next": step}, x="w", dtype=Text("fp16" if step is HALF else "fp32"))
    made.body.op("while_loop", {"y": SINGLE}, (condition, body), loop_vars=["x"])
    return write(root / "m", made)


def test_what_a_loop_hands_on_is_as_declared(tmp_path: Path) -> None:
    load(looped(tmp_path / "same", SINGLE, SINGLE))
    with pytest.raises(ArtifactInvalid, match="a loop variable is float32, v, of a nested block"):
        load(looped(tmp_path / "variable", HALF, SINGLE))
    with pytest.raises(ArtifactInvalid, match="next, of a nested block, is float16"):
        load(looped(tmp_path / "step", SINGLE, HALF))


def test_two_results_of_one_name_are_rejected(tmp_path: Path) -> None:
    made = Function({"x": SINGLE}, ("y",))
    for op in ("relu", "abs"):
        made.body.op(op, {"y": SINGLE}, x="x")
    with pytest.raises(FileRejected, match="two values are named 'y'"):
        load(write(tmp_path / "m", made))


NAMES = {
    "bool": ElementType.BOOL,
    "fp16": ElementType.FLOAT16,
    "fp32": ElementType.FLOAT32,
}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_packages("types_worker.py", tmp_path_factory.mktemp("types"))
    read: dict[str, Any] = json.loads((folder / "types.json").read_text())
    return read


def typed(op: str, ios: int, defined: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Give the parameters of values, with the domain and the element types of each."""
    meaning = find(op, ios)
    assert meaning is not None
    for name, (domain, elements) in defined.items():
        parameter = meaning.parameters.get(name)
        is_setting = parameter is None or parameter.convert in SETTINGS
        if not is_setting or name in VALUES.get(op, ()):
            yield name, domain, elements


@pytest.mark.slow
@pytest.mark.parametrize("ios", [15, 16, 17, 18])
def test_the_types_are_those_of_coremltools(definitions: dict[str, Any], ios: int) -> None:
    """What coremltools lets through loads, and what has one type there has one here."""
    defined = definitions[str(ios)]
    compared = 0
    for op in sorted(set(known_ops()) & set(defined)):
        if find(op, ios) is None:
            continue
        rules = signature(op, ios)
        domains: dict[str, str] = {}
        for name, domain, elements in typed(op, ios, defined[op]):
            group = rules.groups.get(name, SAME)
            if group == FREE:
                continue
            allowed = rules.of_group(group)
            for element in elements:
                assert allowed.has(NAMES.get(element) or ElementType(element)), (op, name, element)
            assert domains.setdefault(group, domain or name) == (domain or name), (op, name)
            compared += 1
    assert compared > 150
