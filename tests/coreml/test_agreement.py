"""A description that contradicts its program is a problem for inspection, and is not loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilesdk.coreml import load
from mobilesdk.coreml.wire import write_bytes
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.runtimes.coreml import PLUGIN
from tests.coreml.building import entry, number, write_package
from tests.coreml.programs import Function, Typed

SINGLE: Typed = ("float32", (2,))


def package(root: Path, described: Function, opset: str = "CoreML8", version: int = 9) -> Path:
    """Write a package whose program doubles ``x``, and whose description is another function's."""
    made = Function({"x": SINGLE}, ("y",), opset=opset)
    made.body.op("add", {"y": SINGLE}, x="x", y="x")
    program = number(1, 1) + write_bytes(2, entry("main", made.message()))
    model = number(1, version) + write_bytes(2, described.features(1, 10))
    return write_package(root / "m.mlpackage", model + write_bytes(502, program), b"")


def described(
    inputs: dict[str, Typed] | None = None, outputs: dict[str, Typed] | None = None
) -> Function:
    return Function(
        {"x": SINGLE} if inputs is None else inputs, (), pictures=outputs or {"y": SINGLE}
    )


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (described({"x": ("int32", (2,))}), "The input 'x' is int32 in the description"),
        (described({"x": ("float16", (2,))}), "'x' is float16 in the description of the model, fl"),
        (described({"x": SINGLE, "q": SINGLE}), "describes the input 'q', which its program lacks"),
        (described({"q": SINGLE}), "The program takes 'x', which the model does not describe"),
        (described(outputs={"y": ("int32", (2,))}), "The output 'y' is int32 in the description"),
        (described(outputs={"z": SINGLE}), "describes the output 'z', which its program lacks"),
    ],
)
def test_what_is_described_otherwise_than_the_program_is_refused(
    function: Function, problem: str, tmp_path: Path
) -> None:
    path = package(tmp_path, function)
    assert any(problem in each for each in PLUGIN.inspect(path).problems)
    with pytest.raises(ArtifactInvalid, match=problem):
        load(path)


@pytest.mark.parametrize(
    ("opset", "version", "fault"),
    [("CoreML8", 5, True), ("CoreML8", 8, True), ("CoreML8", 9, False), ("CoreML7", 9, False)],
)
def test_an_operation_set_is_no_younger_than_the_specification(
    opset: str, version: int, fault: bool, tmp_path: Path
) -> None:
    path = package(tmp_path, described(), opset, version)
    said = [item for item in PLUGIN.inspect(path).problems if "specification version" in item]
    assert len(said) == fault
    if fault:
        with pytest.raises(ArtifactInvalid, match=f"specification version {version}"):
            load(path)
    else:
        assert load(path).input_names == ("x",)
