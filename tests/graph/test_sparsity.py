"""Which elements become zero: the fewest and smallest that the pattern allows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.palette import round_palette
from mobilesdk.graph.sparsity import kept_elements, zero_elements

SEEDS = st.integers(0, 2**31)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(SEEDS, st.floats(0.01, 0.99))
def test_without_a_pattern_the_smallest_go(seed: int, share: float) -> None:
    weight = drawn(seed, 6, 5, 3)
    zeroed = zero_elements(weight, "conv", WeightScheme(sparsity=share))
    gone = zeroed == 0
    assert int(gone.sum()) == int(share * weight.numel())
    assert torch.equal(zeroed[~gone], weight[~gone])
    largest_gone = weight[gone].abs().max() if gone.any() else torch.zeros(())
    assert largest_gone <= weight[~gone].abs().min()


@pytest.mark.parametrize("role", ["conv", "conv_transpose"])
@given(seed=SEEDS, kept=st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 8)]))
def test_n_of_m_input_channels_stay(role: WeightRole, seed: int, kept: tuple[int, int]) -> None:
    count, of = kept
    weight = drawn(seed, 16, 8, 3)
    scheme = WeightScheme(sparsity=1 - count / of, kept=kept)
    zeroed = zero_elements(weight, role, scheme)
    rows = zeroed.transpose(0, 1) if role == "conv_transpose" else zeroed
    before = weight.transpose(0, 1) if role == "conv_transpose" else weight
    groups = rows.reshape(rows.shape[0], -1, of, 3)
    assert ((groups != 0).sum(2) == count).all()
    largest = before.reshape(groups.shape).abs().sort(2, descending=True).values[:, :, :count]
    assert torch.equal(groups.abs().sort(2, descending=True).values[:, :, :count], largest)


@pytest.mark.parametrize("role", ["linear", "conv_transpose"])
@given(seed=SEEDS, share=st.floats(0.01, 0.9))
def test_blocks_of_output_channels_go_together(role: WeightRole, seed: int, share: float) -> None:
    weight = drawn(seed, 8, 8)
    scheme = WeightScheme(sparsity=share, sparse_block_size=4)
    zeroed = zero_elements(weight, role, scheme)
    rows, before = (
        each.transpose(0, 1) if role == "conv_transpose" else each for each in (zeroed, weight)
    )
    blocks = rows.reshape(2, 4, 8)
    gone = (blocks == 0).all(1)
    assert torch.equal(gone, (blocks == 0).any(1))
    assert 16 * share <= int(gone.sum()) < 16 * share + 1
    norms = before.reshape(2, 4, 8).norm(dim=1)
    if 0 < gone.sum() < 16:
        assert norms[gone].max() <= norms[~gone].min()


def test_a_zero_in_a_block_that_is_kept_is_stored() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 3.0], [4.0, 5.0]])
    blocks = WeightScheme(encoding="palette", bits=2, sparsity=0.25, sparse_block_size=2)
    assert kept_elements(weight, "linear", blocks).tolist() == [
        [True, False],
        [True, False],
        [True, True],
        [True, True],
    ]
    any_pattern = blocks.model_copy(update={"sparse_block_size": None})
    assert torch.equal(kept_elements(weight, "linear", any_pattern), weight != 0)
    rounded, (table,) = round_palette(weight, "linear", blocks)
    assert len(table) == 4
    assert set(rounded[:, 0].tolist()) <= set(table.tolist())
