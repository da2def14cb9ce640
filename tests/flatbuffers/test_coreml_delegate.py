"""The Core ML package inside an ExecuTorch program: found, named, unfolded."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.coreml_delegate import BACKEND, port_names, unfold, whole_payload
from mobilesdk.flatbuffers.executorch_folder import pack
from mobilesdk.flatbuffers.program import Call, Delegate, Program

METADATA = PurePosixPath("metadata.json")
NAMES = {"inputNames": ["a", "b"], "outputNames": ["y"]}


def payload(metadata: object = NAMES) -> memoryview:
    files = {
        METADATA: json.dumps(metadata).encode(),
        PurePosixPath("model.mlpackage/Manifest.json"): b"{}",
    }
    return memoryview(pack(files))


def program(*calls: Call, backend: str = BACKEND) -> Program:
    return Program(
        tensors={},
        lists={},
        inputs=(0, 1),
        outputs=(2,),
        calls=calls,
        delegates=(Delegate(backend, payload()),),
        named_data={},
    )


STRAIGHT = Call("", 0, (0, 1, 2))


def test_a_program_of_one_straight_call_is_whole() -> None:
    assert whole_payload(program(STRAIGHT)) == payload()


@pytest.mark.parametrize(
    "other",
    [
        program(),
        program(STRAIGHT, STRAIGHT),
        program(Call("aten::add.out", None, (0, 1, 2))),
        program(Call("", 0, (1, 0, 2))),
        program(STRAIGHT, backend="XnnpackBackend"),
    ],
)
def test_anything_else_is_not(other: Program) -> None:
    assert whole_payload(other) is None


def test_names_are_in_the_order_of_the_call() -> None:
    assert port_names(payload()) == (("a", "b"), ("y",))


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        {"inputNames": ["a"]},
        {"inputNames": "ab", "outputNames": ["y"]},
        NAMES | {"outputNames": [1]},
    ],
)
def test_metadata_without_names_are_rejected(metadata: object) -> None:
    with pytest.raises(FileRejected, match="metadata"):
        port_names(payload(metadata))


def test_a_payload_without_metadata_is_rejected() -> None:
    with pytest.raises(FileRejected, match="no metadata"):
        port_names(memoryview(pack({PurePosixPath("model.mlpackage/a"): b""})))


def test_files_are_unfolded_below_the_folder(tmp_path: Path) -> None:
    package = unfold(payload(), tmp_path)
    assert package == tmp_path / "model.mlpackage"
    assert (package / "Manifest.json").read_bytes() == b"{}"


def test_a_path_that_no_file_system_takes_is_rejected(tmp_path: Path) -> None:
    deep = PurePosixPath(*["a" * 250] * 20)
    with pytest.raises(FileRejected, match="cannot be written"):
        unfold(memoryview(pack({deep: b"x"})), tmp_path)
