import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.core.scheme import ActivationScheme, Request, WeightScheme
from mobilesdk.graph.schemes import (
    MINIMUM_BLOCK_SIZE,
    MINIMUM_ELEMENTS,
    adapt_to_role,
    channels,
    compose,
    plan_weight,
    storable,
)

INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
BLOCK32 = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
PALETTE4 = WeightScheme(encoding="palette", bits=4)
GROUP16 = WeightScheme(encoding="palette", bits=4, granularity="per_group", group_size=16)
HALF = WeightScheme(encoding="float", bits=16)


def test_a_request_that_fits_is_planned_as_it_is() -> None:
    for request in (INT8, INT4, BLOCK32, PALETTE4, GROUP16):
        assert plan_weight(request, "linear", (128, 256)) == (request, "")


@pytest.mark.parametrize(
    ("in_channels", "planned_block"), [(256, 32), (48, 24), (40, 20), (33, 11)]
)
def test_a_block_becomes_the_largest_that_divides(in_channels: int, planned_block: int) -> None:
    planned, reason = plan_weight(BLOCK32, "linear", (512, in_channels))
    assert planned.block_size == planned_block
    assert bool(reason) == (planned_block != 32)


@pytest.mark.parametrize(
    "in_channels",
    [
        pytest.param(32, id="one block holds them all"),
        pytest.param(27, id="fewer than a block"),
        pytest.param(37, id="prime"),
        pytest.param(74, id="dividing blocks are too small"),
    ],
)
def test_without_a_useful_block_a_channel_has_one_scale(in_channels: int) -> None:
    planned, reason = plan_weight(BLOCK32, "conv", (512, in_channels, 3, 3))
    assert planned.granularity == "per_channel"
    assert planned.bits == 4
    assert reason


@given(st.integers(1, 4096), st.integers(1, 256))
def test_planned_blocks_divide_and_never_grow(in_channels: int, block_size: int) -> None:
    request = WeightScheme(
        encoding="linear", bits=4, granularity="per_block", block_size=block_size
    )
    planned, reason = plan_weight(request, "linear", (4096, in_channels))
    if planned.block_size is not None:
        assert in_channels % planned.block_size == 0
        assert MINIMUM_BLOCK_SIZE <= planned.block_size <= block_size
    assert (planned == request) == (reason == "")


@given(st.integers(1, 512), st.integers(1, 64), st.sampled_from([1, 2, 4, 8]))
def test_planned_groups_divide_and_their_tables_are_small(
    out_channels: int, group_size: int, bits: int
) -> None:
    request = WeightScheme(
        encoding="palette", bits=bits, granularity="per_group", group_size=group_size
    )
    planned, reason = plan_weight(request, "conv", (out_channels, 128, 3, 3))
    if planned.group_size is not None:
        assert out_channels % planned.group_size == 0
        tables_bits = out_channels // planned.group_size * 2**bits * 16
        assert tables_bits <= bits * out_channels * 128 * 9
    assert planned == request or reason


@pytest.mark.parametrize("request_", [INT4, BLOCK32, PALETTE4, GROUP16])
def test_a_depthwise_filter_gets_8_bits(request_: WeightScheme) -> None:
    planned, reason = plan_weight(request_, "depthwise", (512, 1, 3, 3))
    assert planned.bits == 8
    assert planned.granularity == ("per_channel" if request_.encoding == "linear" else "per_tensor")
    assert "depthwise" in reason


def test_a_depthwise_filter_at_8_bits_is_left_alone() -> None:
    assert adapt_to_role(INT8, "depthwise") == (INT8, "")
    assert adapt_to_role(HALF, "depthwise") == (HALF, "")


def test_a_small_weight_stays_as_it_is_and_says_why() -> None:
    shape = (MINIMUM_ELEMENTS // 16 - 1, 16)
    planned, reason = plan_weight(INT8, "linear", shape, before=HALF)
    assert planned == HALF
    assert str(MINIMUM_ELEMENTS) in reason
    assert plan_weight(INT8, "linear", shape, minimum_elements=0) == (INT8, "")


def test_earlier_zeros_and_encodings_are_kept() -> None:
    sparse = WeightScheme(sparsity=0.5)
    composed = compose(PALETTE4, sparse)
    assert (composed.encoding, composed.sparsity) == ("palette", 0.5)
    assert compose(sparse, HALF) == WeightScheme(encoding="float", bits=16, sparsity=0.5)
    assert plan_weight(composed, "conv", (64, 64, 3, 3), before=sparse) == (composed, "")


def test_formats_are_asked_for_what_roles_get() -> None:
    activations = ActivationScheme(mode="float", bits=16)
    before = Request(weights={"embedding": HALF}, activations=activations)
    after = storable({"conv": INT4, "depthwise": INT4}, before)
    assert after.weights == {"embedding": HALF, "conv": INT4, "depthwise": INT8}
    assert after.activations == activations


def test_output_channels_follow_the_layout_of_the_role() -> None:
    assert channels("conv", (8, 4, 3, 3)) == (8, 4)
    assert channels("conv_transpose", (8, 4, 3, 3)) == (4, 8)
    assert channels("embedding", (1000, 64)) == (1000, 64)


def test_planning_loads_no_torch() -> None:
    code = (
        "import sys, mobilesdk.graph.schemes, mobilesdk.graph.options;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


KEPT = WeightScheme(sparsity=0.5, kept=(2, 4))
ZERO_BLOCKS = WeightScheme(sparsity=0.5, sparse_block_size=16)


@pytest.mark.parametrize(
    ("request_", "shape", "reason"),
    [
        (KEPT, (64, 64), ""),
        (KEPT, (64, 66), "4 does not divide its 66 input channels"),
        (ZERO_BLOCKS, (64, 66), ""),
        (ZERO_BLOCKS, (72, 66), "16 does not divide its 72 output channels"),
    ],
)
def test_what_does_not_divide_into_a_pattern_stays_dense(
    request_: WeightScheme, shape: tuple[int, int], reason: str
) -> None:
    planned, why = plan_weight(request_, "linear", shape)
    assert reason in why
    assert planned == (WeightScheme() if reason else request_)


def test_a_pattern_outlives_the_encoding_that_follows() -> None:
    composed = compose(INT8, KEPT)
    assert (composed.kept, str(composed)) == ((2, 4), "int8/channel sparse2:4")
    assert str(compose(PALETTE4, ZERO_BLOCKS)) == "palette4/tensor sparse50%/block16"
