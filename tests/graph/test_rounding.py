import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.rounding import from_blocks, round_linear, shorten, to_blocks

SHAPES: dict[WeightRole, tuple[int, ...]] = {
    "conv": (6, 8, 3, 3),
    "depthwise": (12, 1, 3, 3),
    "conv_transpose": (8, 5, 2, 2),
    "linear": (5, 16),
    "embedding": (30, 8),
}


def weight_of(role: WeightRole, seed: int, spread: float) -> Tensor:
    """Make a weight whose channels have scales from 1 to 10 ** spread, and one is zero."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(SHAPES[role], generator=generator)
    factors = 10 ** torch.linspace(0, spread, weight.shape[0])
    weight *= factors.reshape(-1, *(1,) * (weight.dim() - 1))
    weight[0] = 0.0
    return weight


schemes = st.builds(
    lambda bits, granularity, symmetric: WeightScheme(
        encoding="linear",
        bits=bits,
        symmetric=symmetric,
        granularity=granularity,
        block_size=4 if granularity == "per_block" else None,
    ),
    st.sampled_from([2, 4, 8]),
    st.sampled_from(["per_tensor", "per_channel", "per_block"]),
    st.booleans(),
)
cases = {
    "role": st.sampled_from(["conv", "conv_transpose", "linear", "embedding"]),
    "scheme": schemes,
    "seed": st.integers(0, 1000),
    "spread": st.floats(-6, 6),
}


@given(**cases)
def test_error_is_at_most_half_a_step(
    role: WeightRole, scheme: WeightScheme, seed: int, spread: float
) -> None:
    weight = weight_of(role, seed, spread)
    rounded, scales = round_linear(weight, role, scheme)
    error = to_blocks(rounded - weight, role, scheme).abs().amax(dim=-1)
    # An affine grid moves by up to half a step so that zero lies on it, and its ends with it.
    steps = 0.51 if scheme.symmetric else 1.01
    assert (error <= steps * scales).all()


@given(**cases)
def test_rounding_again_changes_no_bit(
    role: WeightRole, scheme: WeightScheme, seed: int, spread: float
) -> None:
    rounded, scales = round_linear(weight_of(role, seed, spread), role, scheme)
    again, scales_again = round_linear(rounded, role, scheme)
    assert torch.equal(again, rounded)
    used = to_blocks(rounded, role, scheme).abs().amax(dim=-1) > 0
    assert torch.equal(scales_again[used], scales[used])


@given(**cases)
def test_min_max_derives_the_scales_exactly(
    role: WeightRole, scheme: WeightScheme, seed: int, spread: float
) -> None:
    rounded, scales = round_linear(weight_of(role, seed, spread), role, scheme)
    blocks = to_blocks(rounded, role, scheme)
    used = blocks.abs().amax(dim=-1) > 0
    if scheme.symmetric:
        derived = blocks.abs().amax(dim=-1) / (2 ** (scheme.bits - 1) - 1)
    else:
        spans = blocks.amax(dim=-1).clamp_min(0) - blocks.amin(dim=-1).clamp_max(0)
        derived = spans / (2**scheme.bits - 1)
    assert torch.equal(derived[used], scales[used])
    integers = blocks / derived.unsqueeze(-1)
    assert torch.equal(integers[used], integers[used].round())


@given(**cases)
def test_zeros_stay_zero(role: WeightRole, scheme: WeightScheme, seed: int, spread: float) -> None:
    weight = weight_of(role, seed, spread)
    weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < 0.3] = 0.0
    rounded, _ = round_linear(weight, role, scheme)
    assert (rounded[weight == 0] == 0).all()
    assert rounded.isfinite().all()


def test_scales_of_8_bits_are_exact_in_float16_and_those_of_4_bits_in_bfloat16() -> None:
    weight = weight_of("linear", seed=1, spread=0)[1:]
    for bits, dtype in ((8, torch.float16), (4, torch.bfloat16), (4, torch.float16)):
        scheme = WeightScheme(encoding="linear", bits=bits, granularity="per_channel")
        scales = round_linear(weight, "linear", scheme)[1]
        assert torch.equal(scales.to(dtype).float(), scales)


def test_a_grid_of_another_convention_does_not_round_trip() -> None:
    scheme = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
    rounded, _ = round_linear(weight_of("linear", seed=1, spread=0), "linear", scheme)
    other_scales = rounded.abs().amax(dim=1, keepdim=True).clamp_min(1e-6) / 7.5
    other = (rounded / other_scales).round().clamp(-8, 7) * other_scales
    assert (other - rounded).norm() > 0.01 * rounded.norm()


@pytest.mark.parametrize("role", SHAPES)
def test_blocks_hold_what_shares_a_grid(role: WeightRole) -> None:
    shape = SHAPES[role]
    weight = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)
    per_channel = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
    blocks = to_blocks(weight, role, per_channel)
    channel = weight[:, 3] if role == "conv_transpose" else weight[3]
    assert torch.equal(blocks[3, 0], channel.flatten())
    assert torch.equal(from_blocks(blocks, weight, role), weight)


def test_a_block_is_a_run_of_input_channels_with_all_its_positions() -> None:
    weight = torch.arange(6 * 8 * 9, dtype=torch.float32).reshape(6, 8, 3, 3)
    scheme = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=4)
    blocks = to_blocks(weight, "conv", scheme)
    assert blocks.shape == (6, 2, 36)
    assert torch.equal(blocks[2, 1], weight[2, 4:].flatten())


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([8, 11]))
def test_shortened_numbers_are_the_nearest_of_their_bits(seed: int, bits: int) -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(seed))
    dtype = torch.bfloat16 if bits == 8 else torch.float16
    assert torch.equal(shorten(values, bits), values.to(dtype).float()) or bits == 11
    assert ((shorten(values, bits) - values).abs() <= values.abs() * 2.0**-bits).all()
