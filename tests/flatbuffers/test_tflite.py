"""Reading ``.tflite`` files: structure, schemes, decoded values, and damage."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_files import File, dense, dense_at

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.tflite import read_tflite
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.flatbuffers.tflite_schema import BUILTIN_OPERATORS, TENSOR_TYPES
from mobilesdk.flatbuffers.tflite_weights import stored_weights
from mobilesdk.lowering.litert.matching import rounded
from mobilesdk.lowering.litert.nnapi import NNAPI_LEVELS
from mobilesdk.lowering.litert.recipe import STATIC_OPERATORS
from mobilesdk.numerics.fingerprint import fingerprint

OPS = schema.BuiltinOperator
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((4, 64)).astype(np.float32)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)


def codes(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.rint(values / scales).astype(np.int8)


def pack4(values: np.ndarray) -> np.ndarray:
    low, high = values.ravel()[::2] & 15, values.ravel()[1::2] & 15
    return (low | (high << 4)).astype(np.uint8)


def int8_file(weight: np.ndarray = WEIGHT) -> bytes:
    scales = np.abs(weight).max(1) / 127
    return dense(
        codes(weight, scales[:, None]), "int8", scale=scales.tolist(), zeroPoint=[0] * len(scales)
    )


def test_names_are_those_of_the_vendors_schema() -> None:
    operators = {name: code for name, code in vars(OPS).items() if isinstance(code, int)}
    types = {name: code for name, code in vars(schema.TensorType).items() if isinstance(code, int)}

    assert operators == {name: code for code, name in enumerate(BUILTIN_OPERATORS)}
    assert types == {name.upper(): code for code, (name, _) in enumerate(TENSOR_TYPES)}
    assert set(NNAPI_LEVELS) <= set(BUILTIN_OPERATORS)
    assert set(BUILTIN_OPERATORS) >= STATIC_OPERATORS


def test_float_weights_are_reported_as_they_are() -> None:
    info = inspect_tflite(dense(WEIGHT))

    (weight,) = info.weights
    assert (weight.name, weight.op, weight.shape) == ("w", "FULLY_CONNECTED", (4, 64))
    assert (weight.scheme, weight.size_bytes, weight.finite) == (WeightScheme(), 1024, True)
    assert weight.fingerprint == fingerprint(WEIGHT)
    assert [(op.name, op.type, op.dtype) for op in info.ops] == [
        ("y", "FULLY_CONNECTED", "float32")
    ]
    assert (info.inputs[0].name, info.inputs[0].shape) == ("args_0", (1, 64))
    assert info.problems == ()


def test_int8_per_channel_is_decoded_with_its_scales() -> None:
    (weight,) = inspect_tflite(int8_file()).weights

    assert weight.scheme == INT8
    assert weight.size_bytes == 256 + 4 * 4 + 4 * 8
    assert weight.fingerprint.distance(fingerprint(rounded(WEIGHT, INT8, 0))) < 1e-6


def test_a_scaled_weight_has_another_fingerprint() -> None:
    (weight,) = inspect_tflite(int8_file(WEIGHT * np.float32(1.01))).weights

    assert weight.fingerprint.distance(fingerprint(rounded(WEIGHT, INT8, 0))) > 5e-3


def test_zero_points_are_subtracted() -> None:
    stored = RANDOM.integers(-128, 128, (3, 4)).astype(np.int8)
    (weight,) = inspect_tflite(dense(stored, "int8", scale=[0.5], zeroPoint=[-7])).weights

    assert weight.scheme == WeightScheme(encoding="linear", bits=8, symmetric=False)
    assert weight.fingerprint == fingerprint((stored.astype(np.float32) + 7) * 0.5)


def test_int4_is_unpacked_low_bits_first() -> None:
    stored = RANDOM.integers(-8, 8, (4, 6)).astype(np.int8)
    scales = np.array([1, 2, 4, 8], np.float32)
    file = File()
    index = file.constant(
        "w", (4, 6), "int4", pack4(stored), scale=scales.tolist(), zeroPoint=[0] * 4
    )
    x, y = file.value("x", (1, 6), "float32"), file.value("y", (1, 4), "float32")
    file.operator(OPS.FULLY_CONNECTED, [x, index, -1], [y])
    (weight,) = stored_weights(read_tflite(file.pack({"x": x}, {"y": y})).subgraphs[0])

    assert weight.scheme() == INT4
    np.testing.assert_array_equal(weight.values(), stored * scales[:, None])


def test_blocks_take_their_scales_from_another_tensor() -> None:
    stored = RANDOM.integers(-7, 8, (2, 64)).astype(np.int8)
    scales = np.array([[1, 2], [0.5, 4]], np.float16)
    file = File()
    place = file.constant("w_scales", (2, 2), "float16", scales)
    details = schema.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = place, -1, 32
    index = file.constant(
        "w",
        (2, 64),
        "int4",
        pack4(stored),
        detailsType=schema.QuantizationDetails.BlockwiseQuantization,
        details=details,
    )
    x, y = file.value("x", (1, 64), "float32"), file.value("y", (1, 2), "float32")
    file.operator(OPS.FULLY_CONNECTED, [x, index, -1], [y])
    data = file.pack({"x": x}, {"y": y})
    (weight,) = stored_weights(read_tflite(data).subgraphs[0])

    assert weight.scheme() == BLOCKS
    assert weight.size_bytes == 64 + 8
    np.testing.assert_array_equal(
        weight.values(), stored * np.repeat(scales.astype(np.float32), 32, axis=1)
    )


def test_a_weight_behind_dequantize_belongs_to_the_op_behind_it() -> None:
    file = File()
    half = file.constant("w", WEIGHT.shape, "float16", WEIGHT.astype(np.float16))
    full = file.value("w_float", WEIGHT.shape, "float32")
    x, y = file.value("x", (1, 64), "float32"), file.value("y", (1, 4), "float32")
    file.operator(OPS.DEQUANTIZE, [half], [full])
    file.operator(OPS.FULLY_CONNECTED, [x, full, -1], [y])
    (weight,) = inspect_tflite(file.pack({"x": x}, {"y": y})).weights

    assert (weight.op, weight.scheme) == ("FULLY_CONNECTED", WeightScheme(bits=16))
    assert weight.decoded
    assert weight.fingerprint == fingerprint(WEIGHT.astype(np.float16))


def test_index_constants_are_no_weights() -> None:
    file = File()
    pads = file.constant("pads", (2, 2), "int32", np.zeros((2, 2), np.int32))
    x, y = file.value("x", (1, 2), "float32"), file.value("y", (1, 2), "float32")
    file.operator(OPS.PAD, [x, pads], [y])

    assert inspect_tflite(file.pack({"x": x}, {"y": y})).weights == ()


def test_signature_names_are_in_the_order_of_their_numbers() -> None:
    file = File()
    places = {f"args_{number}": file.value(f"t{number}", (1,), "float32") for number in range(11)}
    mixed = dict(sorted(places.items()))
    info = inspect_tflite(file.pack(mixed, {"output_0": 0}))

    assert [entry.name for entry in info.inputs] == list(places)


def test_bytes_that_are_not_finite_are_a_problem() -> None:
    bad = WEIGHT.copy()
    bad[1, 2] = np.inf
    info = inspect_tflite(dense(bad))

    assert not info.weights[0].finite
    assert "not finite" in info.problems[0]


def test_bytes_that_do_not_fit_the_shape_are_a_problem() -> None:
    info = inspect_tflite(dense(WEIGHT, "float16"))

    assert info.weights == ()
    assert info.problems == ("Tensor 'w' float16[4, 64] needs 512 bytes and has 1024.",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: setattr(file.tensors[0], "buffer", 99), "names buffer 99 of 2"),
        (lambda file: setattr(file.tensors[0], "externalBuffer", 1), "in another file"),
        (
            lambda file: (
                setattr(file.buffers[1], "data", None),
                setattr(file.buffers[1], "offset", 1 << 40),
                setattr(file.buffers[1], "size", 8),
            ),
            "beyond the end",
        ),
    ],
)
def test_bytes_that_are_not_there_are_a_problem(change, problem: str) -> None:
    file = File()
    index = file.constant("w", (2, 1), "float32", np.ones(2, np.float32))
    change(file)

    assert problem in inspect_tflite(file.pack({"w": index}, {"w": index})).problems[0]


def test_bytes_behind_the_flatbuffer_are_read() -> None:
    file = File()
    index = file.constant("w", (2, 1), "float32", np.ones(2, np.float32))
    file.buffers[1].data, file.buffers[1].offset, file.buffers[1].size = None, 1 << 20, 8
    data = file.pack({"w": index}, {"w": index})
    payload = np.array([3, 4], np.float32).tobytes()
    (weight,) = inspect_tflite(data.ljust(1 << 20, b"\0") + payload).weights

    assert weight.fingerprint == fingerprint(np.array([3, 4]))


@pytest.mark.parametrize(
    "scale", [{"scale": [1.0] * 3}, {"scale": [1.0] * 4, "quantizedDimension": 9}]
)
def test_scales_that_contradict_the_shape_are_rejected(scale: dict[str, object]) -> None:
    with pytest.raises(FileRejected, match="scales"):
        inspect_tflite(dense(np.zeros((4, 2), np.int8), "int8", **scale))


def test_an_operator_on_a_tensor_that_is_not_there_is_rejected() -> None:
    file = File()
    x = file.value("x", (1,), "float32")
    file.operator(OPS.ABS, [x], [7])

    with pytest.raises(FileRejected, match="tensors 7 of 1"):
        read_tflite(file.pack({"x": x}, {"x": x}))


def test_another_schema_version_is_rejected() -> None:
    model = schema.ModelT()
    model.version = 2
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")

    with pytest.raises(FileRejected, match="version 2"):
        read_tflite(bytes(builder.Output()))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_raises_nothing_but_file_rejected(data: st.DataObject) -> None:
    damaged = bytearray(int8_file())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(len(damaged) // 2, len(damaged))) :]
    try:
        inspect_tflite(bytes(damaged))
    except FileRejected:
        return


def test_signatures_of_several_sizes_are_one_interface() -> None:
    info = inspect_tflite(dense_at({1: WEIGHT, 8: WEIGHT}))

    assert [each.name for each in info.signatures] == ["rows_1", "rows_8"]
    assert (info.function, info.other_functions) == ("", ())
    (taken,), (given,) = info.inputs, info.outputs
    assert taken.flexibility is not None
    assert taken.flexibility.shapes == ((1, 64), (8, 64))
    assert (taken.shape, given.shape) == ((-1, 64), (-1, 4))
    assert [op.function for op in info.ops] == ["rows_1", "rows_8"]


def test_a_weight_that_signatures_share_is_listed_once() -> None:
    shared = inspect_tflite(dense_at({1: WEIGHT, 8: WEIGHT}))
    apart = inspect_tflite(dense_at({1: WEIGHT, 8: WEIGHT.copy()}))

    assert [(w.name, w.functions) for w in shared.weights] == [("w;1", ("rows_1", "rows_8"))]
    assert [w.functions for w in apart.weights] == [("rows_1",), ("rows_8",)]


def test_signatures_that_are_no_sizes_of_one_interface_are_functions() -> None:
    file = File()
    for key, dtype in (("encode", "float32"), ("decode", "int32")):
        file.begin()
        x, y = file.value(f"{key}_x", (1, 4), dtype), file.value(f"{key}_y", (1, 4), dtype)
        file.operator(schema.BuiltinOperator.NEG, [x], [y])
        file.end(key, {"x": x}, {"y": y})
    info = inspect_tflite(file.content())

    assert (info.function, info.signatures) == ("encode", ())
    assert [each.name for each in info.other_functions] == ["decode"]
    assert info.inputs[0].dtype == "float32"
