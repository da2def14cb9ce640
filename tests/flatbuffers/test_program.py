"""The readers of ExecuTorch programs and XNNPACK payloads, on files made by hand."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilesdk.core.artifact import WeightInfo
from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.executorch import inspect_file, inspect_program
from mobilesdk.flatbuffers.executorch_folder import pack, unpack
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.verify.ledger import build_ledger
from tests.flatbuffers.pte_files import Scalar, i32, program, stateful, u32, union

FLOATS = np.arange(-6, 6, dtype=np.float32).reshape(3, 4)
FILE = program(FLOATS.tobytes(), 1, (3, 4))


def weight_of(data: bytes) -> WeightInfo:
    (weight,) = inspect_program(memoryview(data)).weights
    return weight


def test_ops_delegates_and_tensors_are_listed() -> None:
    info = inspect_program(memoryview(FILE))

    assert [(op.type, op.dtype, op.delegate) for op in info.ops] == [
        ("XNNFullyConnected", "float32", "XnnpackBackend")
    ]
    assert info.delegates == {"XnnpackBackend": 1}
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in info.inputs] == [
        ("input_0", (1, 4), "float32")
    ]
    assert info.outputs[0].shape == (1, 3)
    assert info.size_bytes == len(FILE)


def test_float_weights() -> None:
    weight = weight_of(FILE)

    assert weight.scheme == WeightScheme()
    assert weight.size_bytes == FLOATS.nbytes
    assert weight.fingerprint == fingerprint(FLOATS)


def test_int8_weights_per_channel() -> None:
    integers = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    scales = np.array([0.5, 1.0, 2.0], np.float32)
    channels = union(1, [None, i32(0), u32(2), u32(3)])

    weight = weight_of(program(integers.tobytes(), 6, (3, 4), channels, scales.tobytes()))

    assert weight.scheme == WeightScheme(encoding="linear", bits=8, granularity="per_channel")
    assert weight.size_bytes == 12 + 12
    assert weight.fingerprint == fingerprint(integers * scales[:, None])


def test_a_weight_that_meets_rounded_values_is_told_from_one_that_meets_floats() -> None:
    integers = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    channels = union(1, [None, i32(0), u32(2), u32(3)])
    scales = np.ones(3, np.float32).tobytes()
    arguments = (integers.tobytes(), 6, (3, 4), channels, scales)

    assert weight_of(program(*arguments)).decoded
    dynamic = program(*arguments, dynamic=True)
    assert not weight_of(dynamic).decoded
    assert [op.type for op in inspect_program(memoryview(dynamic)).ops] == [
        "XNNConvert",
        "XNNFullyConnected",
    ]
    assert not weight_of(FILE).decoded


def test_the_ledger_tells_a_dynamic_weight_that_meets_floats() -> None:
    integers = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    channels = union(1, [None, i32(0), u32(2), u32(3)])
    arguments = (integers.tobytes(), 6, (3, 4), channels, np.ones(3, np.float32).tobytes())
    scheme = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
    weight = ExpectedWeight(
        name="w",
        role="linear",
        shape=(3, 4),
        requested=scheme,
        planned=scheme,
        fingerprint=fingerprint(integers),
    )
    dynamic = ActivationScheme(mode="dynamic", bits=8)
    expectation = Expectation(weights=(weight,), activations=dynamic)

    def different(data: bytes) -> list[str]:
        ledger = build_ledger(expectation, inspect_program(memoryview(data)))
        return [f"{entry.name}: {entry.reason}" for entry in ledger.different]

    assert different(program(*arguments, dynamic=True)) == []
    assert different(program(*arguments)) == [
        "w: its op takes it as floats, so that nothing is rounded at run time"
    ]


def test_int8_weights_per_tensor_with_a_zero_point() -> None:
    integers = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)

    weight = weight_of(program(integers.tobytes(), 3, (3, 4), union(2, [Scalar("f", 0.5), i32(3)])))

    assert weight.scheme == WeightScheme(encoding="linear", bits=8, symmetric=False)
    assert weight.fingerprint == fingerprint((integers.astype(np.float32) - 3) * 0.5)


def test_int4_weights_in_blocks_with_bfloat16_scales() -> None:
    integers = np.arange(-6, 6).reshape(3, 4)
    packed = (integers[:, ::2] + 8) | (integers[:, 1::2] + 8) << 4
    scales = np.array([[0.5, 1.0], [2.0, 0.25], [4.0, 1.5]], np.float32)
    halves = (scales.view(np.uint32) >> 16).astype(np.uint16)
    blocks = union(4, [None, i32(0), i32(2), None, u32(2), u32(6)])

    weight = weight_of(
        program(packed.astype(np.uint8).tobytes(), 10, (3, 4), blocks, halves.tobytes())
    )

    assert weight.scheme == WeightScheme(
        encoding="linear", bits=4, granularity="per_block", block_size=2
    )
    assert weight.size_bytes == 6 + 12
    assert weight.fingerprint == fingerprint(integers * scales.repeat(2, axis=1))


def test_a_scaled_weight_has_another_fingerprint() -> None:
    scaled = weight_of(program((FLOATS * 1.01).tobytes(), 1, (3, 4)))

    assert scaled.fingerprint.distance(weight_of(FILE).fingerprint) > 0.005


def test_weights_that_are_not_finite_are_a_problem() -> None:
    broken = FLOATS.copy()
    broken[0, 0] = np.inf

    info = inspect_program(memoryview(program(broken.tobytes(), 1, (3, 4))))

    assert not info.weights[0].finite
    assert "not finite" in info.problems[0]


@pytest.mark.parametrize("kept", [0, 4, 39, 200, len(FILE) - 1])
def test_a_file_that_is_cut_off_is_rejected(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.pte"
    path.write_bytes(FILE[:kept])

    with pytest.raises(FileRejected):
        inspect_file(path)


@pytest.mark.parametrize(
    ("shape", "quantization"),
    [
        ((3, 5), None),
        ((3, 4), union(1, [None, i32(7), u32(2), u32(3)])),
        ((3, 4), union(1, [None, i32(0), u32(9), u32(3)])),
        ((0, 4), None),
        ((1,) * 9, None),
    ],
)
def test_shapes_and_scales_that_do_not_fit_are_rejected(
    shape: tuple[int, ...], quantization: list[object] | None
) -> None:
    data = program(FLOATS.tobytes(), 6 if quantization else 1, shape, quantization, bytes(12))

    with pytest.raises(FileRejected):
        inspect_program(memoryview(data))


def test_weights_cannot_decode_to_more_than_a_file_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many values over the same bytes would otherwise take any amount of time."""
    monkeypatch.setattr("mobilesdk.flatbuffers.executorch._DECODED_PER_BYTE", 0)

    with pytest.raises(FileRejected, match="decode to more"):
        inspect_program(memoryview(FILE))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_a_changed_file_is_read_or_rejected(place: int, byte: int, word: int) -> None:
    changed = bytearray(FILE)
    changed[place] = byte
    if place + 4 <= len(changed) and byte % 2:
        struct.pack_into("<I", changed, place, word)

    with suppress(FileRejected):
        inspect_program(memoryview(bytes(changed)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_junk_behind_a_true_header_is_read_or_rejected(junk: bytes) -> None:
    with suppress(FileRejected):
        inspect_program(memoryview(FILE[:60] + junk))


FILES = {
    PurePosixPath("model.mlpackage/Manifest.json"): b"{}",
    PurePosixPath("model.mlpackage/Data/weights.bin"): bytes(range(256)),
    PurePosixPath("metadata.json"): b'{"identifier": "x"}',
}


def test_a_packed_folder_comes_back() -> None:
    unpacked = unpack(memoryview(pack(FILES)))

    assert {path: bytes(content) for path, content in unpacked.items()} == FILES
    assert pack(dict(reversed(FILES.items()))) == pack(FILES)


CONTENT = bytes(range(100))


def folder_of(nodes: list[dict[str, Any]]) -> memoryview:
    """Put a table behind 100 bytes of content."""
    return memoryview(CONTENT + json.dumps({"nodes": nodes}).encode()[::-1])


def file_at(offset: int, size: int) -> dict[str, Any]:
    return {"kind": 0, "dataRegion": {"offset": offset, "size": size}}


def root(*children: object) -> dict[str, Any]:
    return {"kind": 1, "children": {f"f{place}": child for place, child in enumerate(children)}}


def test_files_side_by_side_and_empty_ones_are_read() -> None:
    payload = folder_of([file_at(0, 50), file_at(50, 50), file_at(20, 0), root(0, 1, 2)])
    sizes = {path.name: len(content) for path, content in unpack(payload).items()}
    assert sizes == {"f0": 50, "f1": 50, "f2": 0}


@pytest.mark.parametrize(
    "nodes",
    [
        [file_at(0, 100), root(*[0] * 900)],
        [*[file_at(0, 100)] * 900, root(*range(900))],
        [file_at(0, 60), file_at(40, 60), root(0, 1)],
        [root(), *[root(place, place) for place in range(60)]],
        [root(1)],
        [file_at(0, 100)],
        [file_at(0, 100), root("0")],
        [file_at(0, 10_000), root(0)],
    ],
    ids=["named again", "same", "overlap", "doubling", "itself", "no root", "word", "outside"],
)
def test_a_folder_never_unpacks_to_more_than_it_is(nodes: list[dict[str, Any]]) -> None:
    with pytest.raises(FileRejected):
        unpack(folder_of(nodes))


@pytest.mark.parametrize("name", ["..", "", "a/b", "a\\b", "a" * 256, "\0", "\ud800"], ids=ascii)
def test_a_packed_folder_cannot_name_files_outside(name: str) -> None:
    with pytest.raises(FileRejected, match="holds"):
        unpack(folder_of([file_at(0, 1), {"kind": 1, "children": {name: 0}}]))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_folder_is_read_or_rejected(data: st.DataObject) -> None:
    payload = bytearray(pack(FILES))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255))

    with suppress(FileRejected):
        unpack(memoryview(bytes(payload)))


def test_a_state_is_told_by_its_name() -> None:
    info = inspect_program(memoryview(stateful()))
    assert [(each.name, each.shape, each.dtype) for each in info.states] == [
        ("cache", (1, 4), "float32")
    ]
    assert info.problems == ()


def test_a_state_without_a_write_or_a_first_value_is_a_problem() -> None:
    (unwritten,) = inspect_program(memoryview(stateful(writes=False))).problems
    (unset,) = inspect_program(memoryview(stateful(starts=False))).problems
    assert unwritten == "the state cache is never written: every run finds it as before"
    assert unset == "the state cache has no first value: it holds whatever is there"
