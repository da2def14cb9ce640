"""Choosing recipes of LiteRT, and finding weights again in what its converter made."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.flatbuffers.tflite import read_tflite
from mobilesdk.flatbuffers.tflite_weights import stored_weights
from mobilesdk.lowering.litert.matching import match_weights, rounded, rounded_operand
from mobilesdk.lowering.litert.nnapi import outside_nnapi
from mobilesdk.lowering.litert.recipe import build_recipe
from tests.flatbuffers.tflite_files import File

OPS = schema.BuiltinOperator
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((4, 64)).astype(np.float32)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)


def constants(*arrays: np.ndarray) -> list:
    file = File()
    for number, array in enumerate(arrays):
        file.constant(f"c{number}", array.shape, "float32", array)
    return list(stored_weights(read_tflite(file.pack({"x": 0}, {"y": 0})).subgraphs[0]))


def test_weights_are_found_whatever_their_layout() -> None:
    conv = RANDOM.standard_normal((5, 3, 2, 2)).astype(np.float32)
    matches = match_weights(
        {"conv": conv, "dense": WEIGHT}, constants(WEIGHT.T, conv.transpose(0, 2, 3, 1))
    )

    assert matches.weights["conv"].constants[0].tensor.name == "c1"
    assert matches.weights["dense"].constants[0].tensor.name == "c0"
    assert matches.others == ()


@pytest.mark.parametrize("shape", [(64,), (4, 1)])
def test_a_folded_scale_is_recognised(shape: tuple[int, ...]) -> None:
    scaled = (WEIGHT * RANDOM.uniform(0.5, 2, shape)).astype(np.float32)
    match = match_weights({"w": WEIGHT}, constants(scaled)).weights["w"]

    np.testing.assert_array_equal(match.folded, scaled)


def test_another_weight_of_the_same_shape_is_not_taken_for_a_folded_one() -> None:
    other = RANDOM.standard_normal(WEIGHT.shape).astype(np.float32)
    matches = match_weights({"w": WEIGHT}, constants(other))

    assert matches.weights == {}
    assert len(matches.others) == 1


def test_a_sum_of_two_weights_is_recognised() -> None:
    other = RANDOM.standard_normal(WEIGHT.shape).astype(np.float32)
    matches = match_weights({"a": WEIGHT, "b": other}, constants(WEIGHT + other))

    assert list(matches.sums) == [("a", "b")]


@given(st.integers(1, 6), st.sampled_from([8, 4]), st.integers(0, 2**32 - 1))
def test_rounding_twice_changes_nothing(rows: int, bits: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    scheme = WeightScheme(encoding="linear", bits=bits, granularity="per_channel")
    once = rounded(values, scheme, 0).reshape(values.shape)

    np.testing.assert_allclose(rounded(once, scheme, 0).reshape(values.shape), once, rtol=1e-5)
    step = np.abs(values).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
    assert (np.abs(once - values) <= step * 0.5001).all()


@given(st.floats(-100, 100), st.floats(-100, 100), st.sampled_from([8, 16]))
def test_operands_keep_zero_and_stay_within_a_step(low: float, high: float, bits: int) -> None:
    values = np.array([[low, 0, high]], np.float32)
    _, decoded = rounded_operand(values, bits)
    step = (max(values.max(), 0) - min(values.min(), 0)) / (2**bits - 1) * 2

    assert decoded[0, 1] == 0
    assert (np.abs(decoded - values) <= step + 1e-6).all()


def test_a_rule_for_one_op_matches_that_op_only() -> None:
    file = File()
    x = file.value("x", (1, 64), "float32")
    for name in ("layer", "layer;1", "a.layer"):
        w = file.constant(f"{name}/w", WEIGHT.shape, "float32", WEIGHT)
        y = file.value(name, (1, 4), "float32")
        file.operator(OPS.FULLY_CONNECTED, [x, w, -1], [y])
    subgraph = read_tflite(file.pack({"x": x}, {"y": y})).subgraphs[0]
    (rule,) = build_recipe(subgraph, {1: INT8}, ActivationScheme(), op_set="builtin", float_io=True)
    scopes = ["layer;", "layer;1;", "a.layer;"]

    assert [bool(re.search(rule["regex"], scope)) for scope in scopes] == [True, False, False]


@pytest.mark.parametrize("shape", [(2, 64), (1, 2, 64), (4, 3)])
def test_rows_that_the_converter_took_out_of_a_weight_are_found(shape: tuple[int, ...]) -> None:
    rows = WEIGHT[1:3] if shape[-1] == 64 else WEIGHT[:, 5:8]
    match = match_weights({"w": WEIGHT}, constants(rows.reshape(shape))).weights["w"]

    assert match.is_part
    assert match_weights({"w": WEIGHT}, constants(rows.reshape(shape) + 1)).weights == {}


@pytest.mark.parametrize(
    ("code", "dtype", "shape", "fault"),
    [
        (OPS.ADD, "int8", (1, 2), []),
        (OPS.DIV, "float32", (1, 2), []),
        (OPS.DIV, "int8", (1, 2), ["DIV of int8 (float32 only) x 1"]),
        (OPS.GELU, "float32", (1, 2), ["GELU of float32 (no such operation) x 1"]),
        (OPS.ADD, "float16", (1, 2), ["ADD of float16 (no such type) x 1"]),
        (OPS.ADD, "float32", (1, 1, 1, 1, 2), ["ADD of float32 (more than 4 axes) x 1"]),
    ],
)
def test_operators_outside_nnapi_are_named(
    code: int, dtype: str, shape: tuple[int, ...], fault: list[str]
) -> None:
    file = File()
    x, y = file.value("x", shape, dtype), file.value("y", shape, dtype)
    file.operator(code, [x, x], [y])

    assert outside_nnapi(read_tflite(file.pack({"x": x}, {"y": y}))) == fault
