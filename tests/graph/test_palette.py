from itertools import combinations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.graph.palette import cluster, round_palette


def error(values: Tensor, importance: Tensor, centres: Tensor) -> float:
    distances = (values.double()[:, None] - centres[None]).abs().min(dim=1).values
    return float((importance.double() * distances**2).sum())


def best_error(values: Tensor, importance: Tensor, clusters: int) -> float:
    """Try every way to cut the sorted values."""
    order = values.argsort()
    values, importance = values[order].double(), importance[order].double()
    count = len(values)
    best = float("inf")
    for cuts in combinations(range(1, count), clusters - 1):
        spans = [slice(a, b) for a, b in zip((0, *cuts), (*cuts, count), strict=True)]
        centres = [(importance[s] * values[s]).sum() / importance[s].sum() for s in spans]
        best = min(best, error(values, importance, torch.stack(centres)))
    return best


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
def test_clusters_are_the_best_there_are(seed: int, clusters: int, outlier: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(9, generator=generator)
    if outlier:
        values[0] *= 1000
    importance = torch.rand(9, generator=generator) + 0.01
    found = error(values, importance, cluster(values, importance, clusters))
    assert found <= best_error(values, importance, clusters) * (1 + 1e-6) + 1e-12


def test_large_tensors_come_near_the_known_optimum_of_a_normal_distribution() -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    for clusters, optimum in ((2, 0.3634), (4, 0.1175), (16, 0.009497)):  # Max 1960, table I
        centres = cluster(values, torch.ones_like(values), clusters)
        mean = error(values[:20_000], torch.ones(20_000), centres) / 20_000
        assert abs(mean / optimum - 1) < 0.03
        assert len(centres) == clusters


def test_256_clusters_of_many_values_are_finite_and_ascend() -> None:
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(1)) ** 3
    centres = cluster(values, torch.ones_like(values), 256)
    assert centres.isfinite().all()
    assert (centres.diff() > 0).all()


def test_importance_draws_centres() -> None:
    values = torch.tensor([0.0, 1.0, 2.0, 10.0])
    even = cluster(values, torch.ones(4), 2)
    heavy = cluster(values, torch.tensor([1e6, 1e6, 1e6, 1e-6]), 2)
    assert even.tolist() == [1.0, 10.0]
    assert heavy.max() < 3


def test_each_group_has_a_table_of_its_own() -> None:
    weight = torch.randn(8, 32, 3, 3, generator=torch.Generator().manual_seed(2))
    weight[4:] *= 100
    grouped = WeightScheme(encoding="palette", bits=2, granularity="per_group", group_size=4)
    rounded, tables = round_palette(weight, "conv", grouped)
    assert [len(table) for table in tables] == [4, 4]
    for group, table in zip((rounded[:4], rounded[4:]), tables, strict=True):
        assert set(group.unique().tolist()) == set(table.tolist())
    whole, _ = round_palette(weight, "conv", WeightScheme(encoding="palette", bits=2))
    assert (rounded[:4] - weight[:4]).norm() < 0.5 * (whole[:4] - weight[:4]).norm()


def test_groups_of_a_transposed_convolution_are_output_channels() -> None:
    weight = torch.randn(16, 4, 2, 2, generator=torch.Generator().manual_seed(3))
    scheme = WeightScheme(encoding="palette", bits=1, granularity="per_group", group_size=2)
    rounded, _ = round_palette(weight, "conv_transpose", scheme)
    assert len(rounded[:, :2].unique()) == 2
    assert len(rounded[:, 2:].unique()) == 2


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 3, 4, 6, 8]))
def test_rounding_again_changes_nothing_and_tables_fit_float16(seed: int, bits: int) -> None:
    weight = torch.randn(16, 40, generator=torch.Generator().manual_seed(seed))
    scheme = WeightScheme(encoding="palette", bits=bits)
    rounded, tables = round_palette(weight, "linear", scheme)
    assert len(rounded.unique()) <= 2**bits
    assert torch.equal(round_palette(rounded, "linear", scheme)[0], rounded)
    normal = tables[0].abs() > 1e-4  # smaller float16 numbers have fewer bits
    assert torch.equal(tables[0].half().float()[normal], tables[0][normal])


def test_zeros_of_a_sparse_weight_stay_and_take_no_entry() -> None:
    weight = torch.randn(16, 40, generator=torch.Generator().manual_seed(4))
    weight[weight.abs() < 0.6] = 0.0
    scheme = WeightScheme(encoding="palette", bits=2, sparsity=0.45)
    rounded, tables = round_palette(weight, "linear", scheme)
    assert torch.equal(rounded == 0, weight == 0)
    assert len(tables[0]) == 4
    assert 0.0 not in tables[0].tolist()


def test_groups_of_one_value_or_of_zeros_alone_are_kept() -> None:
    weight = torch.zeros(8, 300)
    weight[4:] = 0.5
    scheme = WeightScheme(
        encoding="palette", bits=4, granularity="per_group", group_size=4, sparsity=0.5
    )
    rounded, tables = round_palette(weight, "linear", scheme)
    assert torch.equal(rounded, weight)
    assert [len(table) for table in tables] == [0, 1]
