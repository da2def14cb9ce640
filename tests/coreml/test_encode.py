"""What ``encode`` writes, ``constexpr`` reads back: the same values, in every scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.coreml.constexpr import decode
from mobilesdk.coreml.encode import ConstExpr, Layout, Stored, encode
from mobilesdk.coreml.limits import limit
from mobilesdk.errors import CompressionIncomplete

IOS16 = Layout(channel_axis=0, block_axis=1, scale_type="float32", packed=True)
IOS18 = Layout(channel_axis=0, block_axis=1, scale_type="float32", packed=False)
TRANSPOSED = Layout(channel_axis=1, block_axis=0, scale_type="float32", packed=False)


def decoded(expression: ConstExpr) -> tuple[np.ndarray, ...]:
    arguments: dict[str, Any] = {
        name: value.values if isinstance(value, Stored) else np.array(value)
        for name, value in expression.arguments.items()
    }
    if expression.inner is not None:
        arguments |= zip(expression.results, decoded(expression.inner), strict=True)
    return decode(expression.op, arguments)


def on_linear_grid(
    seed: int, scheme: WeightScheme, shape: tuple[int, ...], layout: Layout
) -> np.ndarray:
    """Give integers times scales that float16 holds, the ends of each grid included."""
    random = np.random.default_rng(seed)
    top = 2 ** (scheme.bits - 1) - 1
    block = scheme.block_size or shape[layout.block_axis]
    rows = np.moveaxis(np.zeros(shape), (layout.channel_axis, layout.block_axis), (0, 1))
    codes = random.integers(-top, top + 1, rows.shape)
    codes[:, ::block] = top
    counts = (rows.shape[0], rows.shape[1] // block) + (1,) * (rows.ndim - 2)
    scale = np.ldexp(random.integers(1024, 2048, counts), -18)
    scale = scale.flat[0] if scheme.granularity == "per_tensor" else np.repeat(scale, block, 1)
    values = (codes * scale).astype(np.float32)
    if scheme.sparsity:
        values[random.random(values.shape) < scheme.sparsity] = 0
        values[:, ::block] = (top * np.broadcast_to(scale, values.shape))[:, ::block]
    return np.moveaxis(values, (0, 1), (layout.channel_axis, layout.block_axis))


def linear(bits: int, granularity: str = "per_channel", **fields: Any) -> WeightScheme:
    return WeightScheme.model_validate(
        {"encoding": "linear", "bits": bits, "granularity": granularity, **fields}
    )


def palette(bits: int, **fields: Any) -> WeightScheme:
    return WeightScheme.model_validate({"encoding": "palette", "bits": bits, **fields})


@pytest.mark.parametrize("layout", [IOS18, TRANSPOSED])
@pytest.mark.parametrize(
    "scheme",
    [
        linear(8),
        linear(8, "per_tensor"),
        linear(4),
        linear(4, "per_block", block_size=4),
        linear(8, sparsity=0.5),
        linear(4, "per_block", block_size=4, sparsity=0.5),
    ],
    ids=str,
)
@given(seed=st.integers(0, 2**32))
def test_linear_weights_come_back_exactly(scheme: WeightScheme, layout: Layout, seed: int) -> None:
    weight = on_linear_grid(seed, scheme, (8, 12, 3), layout)
    expression = encode(weight, scheme, layout)
    assert expression is not None
    assert_array_equal(decoded(expression)[0], weight)


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
@given(seed=st.integers(0, 2**32))
def test_ios16_stores_unsigned_bytes_and_gives_them_back(granularity: str, seed: int) -> None:
    weight = on_linear_grid(seed, linear(8, granularity), (4, 6), IOS16)
    expression = encode(weight, linear(8, granularity), IOS16)
    assert expression is not None
    stored = expression.arguments["quantized_data"]
    assert isinstance(stored, Stored)
    assert stored.values.dtype == np.uint8
    assert_array_equal(decoded(expression)[0], weight)


@given(seed=st.integers(0, 2**32), bits=st.sampled_from([4, 8]))
def test_affine_weights_come_back_exactly(seed: int, bits: int) -> None:
    random = np.random.default_rng(seed)
    top = 2**bits - 1
    offset = random.integers(0, top + 1, (5, 1))
    codes = random.integers(0, top + 1, (5, 9))
    codes[:, 0], codes[:, 1] = 0, top
    weight = ((codes - offset) * np.ldexp(random.integers(1024, 2048, (5, 1)), -15)).astype("f4")
    expression = encode(weight, linear(bits, symmetric=False), IOS18)
    assert expression is not None
    assert_array_equal(decoded(expression)[0], weight)


@pytest.mark.parametrize(
    ("scheme", "layout"),
    [
        (palette(1), IOS18),
        (palette(2), IOS16),
        (palette(3), IOS18),
        (palette(6), IOS16),
        (palette(4, granularity="per_group", group_size=4), IOS18),
        (palette(4, granularity="per_group", group_size=4), TRANSPOSED),
        (palette(4, granularity="per_channel"), IOS18),
        (palette(4, sparsity=0.5), IOS18),
        (palette(2, granularity="per_group", group_size=2, sparsity=0.5), TRANSPOSED),
    ],
    ids=str,
)
@given(seed=st.integers(0, 2**32))
def test_palettes_come_back_exactly(scheme: WeightScheme, layout: Layout, seed: int) -> None:
    random = np.random.default_rng(seed)
    group = scheme.group_size or (1 if scheme.granularity == "per_channel" else 8)
    values = np.moveaxis(np.zeros((8, 8, 3), np.float32), layout.channel_axis, 0)
    for start in range(0, 8, group):
        table = random.normal(size=2**scheme.bits).astype(np.float32)
        part = values[start : start + group]
        part[:] = table[random.integers(0, table.size, part.shape)]
    if scheme.sparsity:
        values[random.random(values.shape) < scheme.sparsity] = 0
    weight = np.moveaxis(values, 0, layout.channel_axis)
    expression = encode(weight, scheme, layout)
    assert expression is not None
    assert_array_equal(decoded(expression)[0], weight)


@pytest.mark.parametrize(
    "scheme",
    [
        palette(4, table_bits=8),
        palette(3, granularity="per_channel", table_bits=8),
        palette(4, granularity="per_group", group_size=4, table_bits=8, sparsity=0.5),
    ],
    ids=str,
)
@given(seed=st.integers(0, 2**32))
def test_tables_of_integers_come_back_exactly(scheme: WeightScheme, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.zeros((8, 8, 3), np.float32)
    group = scheme.group_size or (1 if scheme.granularity == "per_channel" else 8)
    for start in range(0, 8, group):
        codes = random.integers(-126, 127, 2**scheme.bits)
        codes[0] = 127
        table = (codes * np.ldexp(random.integers(1024, 2048), -18)).astype(np.float32)
        part = values[start : start + group]
        part[:] = table[random.integers(0, table.size, part.shape)]
        if scheme.sparsity:
            part[random.random(part.shape) < scheme.sparsity] = 0
        part[0, 0, 0] = table[0]
    expression = encode(values, scheme, IOS18)
    assert expression is not None
    assert_array_equal(decoded(expression)[0], values)
    lut = expression
    while lut.op != "constexpr_blockwise_shift_scale":
        assert lut.inner is not None
        lut = lut.inner
    data = lut.arguments["data"]
    assert isinstance(data, Stored)
    assert data.values.dtype == np.int8


def test_tables_off_the_grid_of_their_integers_are_refused() -> None:
    weight = np.array([[1.0, 0.5001, 0.333, 0.1]], np.float32)
    with pytest.raises(CompressionIncomplete, match="off their grid"):
        encode(weight, palette(2, table_bits=8), IOS18)


@pytest.mark.parametrize("layout", [IOS16, IOS18])
def test_sparse_floats_come_back_exactly(layout: Layout) -> None:
    weight = np.array([[0.0, 1.5, -0.0], [2.5, 0.0, 0.0]], np.float32)
    expression = encode(weight, WeightScheme(sparsity=0.5), layout)
    assert expression is not None
    data = expression.arguments["nonzero_data"]
    assert isinstance(data, Stored)
    assert data.values.tolist() == [1.5, 2.5]
    assert_array_equal(decoded(expression)[0], weight)


@pytest.mark.parametrize("bits", [4, 32], ids=["palette4", "float32"])
def test_blocks_of_zeros_are_masked_as_a_whole(bits: int) -> None:
    """A zero within a block that is kept is stored like any other value."""
    weight = np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0]], np.float32)
    scheme = WeightScheme(
        encoding="palette" if bits == 4 else "float", bits=bits, sparsity=0.3, sparse_block_size=2
    )
    expression = encode(weight, scheme, IOS18)
    assert expression is not None
    assert_array_equal(decoded(expression)[0], weight)
    outermost = decoded(expression.inner)[0] if expression.inner else None
    mask = expression.arguments["mask"] if outermost is None else Stored(outermost, 1)
    assert isinstance(mask, Stored)
    assert mask.values.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_plain_floats_need_no_encoding_but_a_cast_between_types() -> None:
    weight = np.ones((2, 2), np.float32)
    assert encode(weight, WeightScheme(bits=32), IOS18) is None
    cast = encode(weight, WeightScheme(bits=16), IOS18)
    assert cast is not None
    assert cast.op == "constexpr_cast"
    assert decoded(cast)[0].dtype == np.float32


@pytest.mark.parametrize("scheme", [linear(8), linear(8, symmetric=False), palette(2)], ids=str)
def test_values_off_their_grid_are_refused(scheme: WeightScheme) -> None:
    weight = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    with pytest.raises(CompressionIncomplete, match=r"off their grid|distinct values"):
        encode(weight, scheme, IOS18)


def test_blocks_and_groups_that_do_not_divide_are_refused() -> None:
    weight = np.ones((6, 10), np.float32)
    with pytest.raises(CompressionIncomplete, match="10 input channels do not divide by 4"):
        encode(weight, linear(8, "per_block", block_size=4), IOS18)
    with pytest.raises(CompressionIncomplete, match="6 output channels do not divide by 4"):
        encode(weight, palette(2, granularity="per_group", group_size=4), IOS18)


def test_zero_channels_decode_to_zero() -> None:
    weight = np.zeros((3, 4), np.float32)
    schemes = [linear(8), linear(4, sparsity=0.5), palette(4), palette(4, sparsity=0.5)]
    for scheme in schemes:
        expression = encode(weight, scheme, IOS18)
        assert expression is not None
        assert_array_equal(decoded(expression)[0], weight)


@pytest.mark.parametrize(
    ("scheme", "ios", "reason"),
    [
        (linear(8), 15, "iOS16"),
        (linear(8), 16, ""),
        (linear(4), 17, "iOS18"),
        (linear(8, "per_block", block_size=8), 17, "iOS18"),
        (linear(2), 18, "not 2"),
        (palette(6), 16, ""),
        (palette(3), 17, "iOS18"),
        (palette(4, table_bits=8), 17, "iOS18"),
        (palette(4, granularity="per_group", group_size=4), 16, "iOS18"),
        (palette(4, sparsity=0.5), 17, "iOS18"),
        (linear(8, sparsity=0.5), 17, "iOS18"),
        (WeightScheme(bits=16, sparsity=0.5), 15, "iOS16"),
        (WeightScheme(bits=16, sparsity=0.5), 16, ""),
        (WeightScheme(bits=16), 15, ""),
        (palette(3), 18, ""),
    ],
    ids=str,
)
def test_each_limit_of_ios_is_known(scheme: WeightScheme, ios: int, reason: str) -> None:
    found = limit(scheme, ios)
    assert reason in found
    assert bool(reason) == bool(found)


def test_the_older_operations_refuse_what_they_lack() -> None:
    with pytest.raises(CompressionIncomplete, match="iOS18"):
        encode(np.zeros((4, 4), np.float32), linear(8, sparsity=0.5), IOS16)
