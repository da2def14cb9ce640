"""Rounding against second moments: a smaller error of the layer, on a grid that is found again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilesdk.core.scheme import ActivationScheme, WeightRecord, WeightRole, WeightScheme
from mobilesdk.graph.bias_correction import correct_biases
from mobilesdk.graph.gptq import Moments, round_gptq
from mobilesdk.graph.interpreter import run_variants
from mobilesdk.graph.layer_rounding import LayerRounding
from mobilesdk.graph.palette import round_palette
from mobilesdk.graph.program import export_program
from mobilesdk.graph.roles import weights as list_weights
from mobilesdk.graph.rounding import round_linear


def scheme(encoding: str, bits: int, granularity: str = "per_channel", **fields: Any) -> Any:
    return WeightScheme.model_validate(
        {"encoding": encoding, "bits": bits, "granularity": granularity, **fields}
    )


SCHEMES = [
    scheme("linear", 8),
    scheme("linear", 4),
    scheme("linear", 2),
    scheme("linear", 4, "per_tensor"),
    scheme("linear", 4, symmetric=False),
    scheme("linear", 4, "per_block", block_size=8),
    scheme("palette", 4, "per_tensor"),
    scheme("palette", 2, "per_group", group_size=4, table_bits=8),
    scheme("linear", 4, sparsity=0.5),
    scheme("palette", 3, "per_tensor", sparsity=0.5),
]


def nearest(weight: Tensor, role: WeightRole, planned: WeightScheme) -> Tensor:
    rounding = round_linear if planned.encoding == "linear" else round_palette
    return rounding(weight, role, planned)[0]


def drawn(seed: int, planned: WeightScheme) -> tuple[Tensor, Tensor]:
    """Give a weight, and inputs whose channels are correlated."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(8, 16, 1, 2, generator=generator)
    if planned.sparsity:
        weight *= torch.rand(weight.shape, generator=generator) > planned.sparsity
    mixed = torch.randn(32, 32, generator=generator)
    return weight, torch.randn(100, 32, generator=generator) @ mixed


def moments(inputs: Tensor, exact: Tensor) -> Moments:
    given = inputs.double()
    return Moments((given.T @ given)[None], (exact.double().T @ given)[None])


@pytest.mark.parametrize("planned", SCHEMES, ids=str)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31))
def test_the_grid_is_found_again_and_zeros_stay(planned: WeightScheme, seed: int) -> None:
    weight, inputs = drawn(seed, planned)
    for asymmetric in (False, True):
        exact = inputs + torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1))
        rounded = round_gptq(weight, "conv", planned, moments(inputs, exact), asymmetric=asymmetric)
        assert torch.equal(nearest(rounded, "conv", planned), rounded)
        if planned.sparsity:
            assert (rounded[weight == 0] == 0).all()


@pytest.mark.parametrize("planned", SCHEMES, ids=str)
def test_the_layer_errs_less_than_with_rounding_to_nearest(planned: WeightScheme) -> None:
    errors = {"nearest": 0.0, "gptq": 0.0}
    for seed in range(4):
        weight, inputs = drawn(seed, planned)
        found = round_gptq(weight, "conv", planned, moments(inputs, inputs))
        for name, rounded in (("nearest", nearest(weight, "conv", planned)), ("gptq", found)):
            error = inputs @ (rounded - weight).flatten(1).T
            errors[name] += float(error.square().mean())
    assert errors["gptq"] < 0.95 * errors["nearest"]


@pytest.mark.parametrize("planned", SCHEMES, ids=str)
def test_without_correlations_nothing_is_better_than_nearest(planned: WeightScheme) -> None:
    weight, _ = drawn(3, planned)
    eye = torch.eye(32, dtype=torch.float64)[None]
    rounded = round_gptq(weight, "conv", planned, Moments(eye, eye))
    assert torch.equal(rounded, nearest(weight, "conv", planned))


def test_groups_have_moments_of_their_own() -> None:
    planned = scheme("linear", 4)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 1, 3, 3, generator=generator)
    inputs = torch.randn(6, 50, 9, generator=generator).double() @ torch.randn(6, 9, 9).double()
    own = inputs.transpose(1, 2) @ inputs
    together = round_gptq(weight, "depthwise", planned, Moments(own, own))
    for channel in range(6):
        alone = Moments(own[channel : channel + 1], own[channel : channel + 1])
        one = round_gptq(weight[channel : channel + 1], "depthwise", planned, alone)
        assert torch.equal(together[channel : channel + 1], one)


def test_inputs_that_are_never_used_do_no_harm() -> None:
    weight, inputs = drawn(0, SCHEMES[1])
    inputs[:, 5] = 0
    assert round_gptq(weight, "conv", SCHEMES[1], moments(inputs, inputs)).isfinite().all()
    nothing = Moments(torch.zeros(1, 32, 32).double(), torch.zeros(1, 32, 32).double())
    rounded = round_gptq(weight, "conv", SCHEMES[1], nothing)
    assert torch.equal(rounded, nearest(weight, "conv", SCHEMES[1]))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, groups=16)
        self.grouped = nn.Conv2d(16, 16, 1, groups=2, stride=2)
        self.up = nn.ConvTranspose2d(16, 16, 2)
        self.linear = nn.Linear(16, 12)

    def forward(self, image: Tensor) -> Tensor:
        x = self.depthwise(self.conv(image).relu()).relu()
        x = self.up(self.grouped(x).relu()).relu()
        return self.linear(x.permute(0, 2, 3, 1))


@pytest.mark.parametrize("asymmetric", [False, True])
def test_a_network_errs_less_and_what_is_left_out_is_named(asymmetric: bool) -> None:
    planned = scheme("linear", 4)
    generator = torch.Generator().manual_seed(1)
    images = [
        (nn.functional.interpolate(torch.rand(1, 3, 4, 4, generator=generator), size=(12, 12)),)
        for _ in range(40)
    ]
    program = export_program(Net().eval(), images[0])
    records = [
        WeightRecord(**each.model_dump(exclude={"groups"}), requested=planned, planned=planned)
        for each in list_weights(program)
    ]
    before = {record.name: program.state_dict[record.name].detach() for record in records}
    first = {each.name: nearest(before[each.name], each.role, planned) for each in records}
    errors = []
    for better in (False, True):
        state = dict(first)
        rounding = LayerRounding(program, records, before, state, {}, asymmetric=asymmetric)
        visits = (rounding.visit,) if better else ()
        biases, _ = correct_biases(
            program, state, images[:32], ActivationScheme(), lambda *_: None, *visits
        )
        exact, found = run_variants(
            program, [{}, state | biases], images[32:], lambda *_: None, lambda *_: None
        )
        errors.append(
            sum(float((a[0] - b[0]).square().mean()) for a, b in zip(exact, found, strict=True))
        )
    assert errors[1] < 0.8 * errors[0]
    (note,) = rounding.notes()
    assert note.startswith("up.weight (conv_transpose) is rounded to nearest")
    assert torch.equal(state["up.weight"], first["up.weight"])
    for record in records:
        again = nearest(state[record.name], record.role, planned)
        assert torch.equal(again, state[record.name])
