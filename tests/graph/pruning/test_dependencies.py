"""Channels that are found to depend on each other can go, and nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.pruning.dependencies import trace_dependencies
from mobilesdk.graph.pruning.dimensions import Dimension, find_dimensions, removed_indices
from mobilesdk.graph.pruning.surgery import masked_weights, without
from mobilesdk.graph.pruning.tracing import Trace
from tests.graph.pruning.networks import NETWORKS, network


@dataclass(frozen=True)
class Traced:
    """A network, prepared, and what was found in it."""

    program: torch.export.ExportedProgram
    example: Tensor
    trace: Trace
    dimensions: list[Dimension]
    kept: dict[str, str]

    @property
    def widths(self) -> dict[tuple[str, ...], tuple[int, int]]:
        found = {}
        for each in self.dimensions:
            found[each.weights] = (len(each.units), each.unit_width)
        return found


def traced(module: nn.Module, example: Tensor) -> Traced:
    program = prepare(export_program(module.eval(), [example]))
    trace = trace_dependencies(program)
    dimensions, kept = find_dimensions(trace)
    return Traced(program, example, trace, dimensions, {each.weight: each.reason for each in kept})


@pytest.fixture(scope="module")
def all_traced() -> dict[str, Traced]:
    return {name: traced(*network(name)) for name in NETWORKS}


def zero_all(
    program: torch.export.ExportedProgram, removed: dict[str, dict[int, list[int]]]
) -> None:
    """Set all that belongs to a channel to zero: its filters, biases and what takes it."""
    with torch.no_grad():
        for name, axes in removed.items():
            for axis, indices in axes.items():
                program.state_dict[name].index_fill_(axis, torch.tensor(indices), 0.0)


def run(program: torch.export.ExportedProgram, example: Tensor) -> Tensor:
    with torch.no_grad():
        return graph_module(program)(example)[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_of_zeros_change_nothing(name: str) -> None:
    found = traced(*network(name))
    units = [unit for each in found.dimensions for unit in each.units[1::2]]
    removed = removed_indices(found.trace, units)
    zero_all(found.program, removed)
    before = run(found.program, found.example)
    pruned = without(found.program, found.trace, units, {})
    torch.testing.assert_close(run(pruned, found.example), before, rtol=1e-5, atol=1e-5)
    for weight, axes in removed.items():
        expected = list(found.program.state_dict[weight].shape)
        for axis, indices in axes.items():
            expected[axis] -= len(indices)
        assert list(pruned.state_dict[weight].shape) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_what_takes_nothing_of_a_channel_computes_the_same_without_it(
    all_traced: dict[str, Traced], name: str
) -> None:
    found = all_traced[name]
    units = [unit for each in found.dimensions for unit in each.units[:-1:3]]
    removed = removed_indices(found.trace, units)
    values = masked_weights(found.program, found.trace, removed)
    full = graph_module(found.program)
    state = dict(found.program.state_dict) | values
    with torch.no_grad():
        expected = torch.func.functional_call(full, state, (found.example,))[0]
    pruned = run(without(found.program, found.trace, units, values), found.example)
    torch.testing.assert_close(pruned, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(pruned, run(found.program, found.example), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("residual", {("stem.weight", "two.weight"): (16, 1), ("one.weight",): (24, 1)}),
        (
            "depthwise",
            {("expand.weight", "depthwise.weight"): (16, 1), ("project.weight",): (8, 1)},
        ),
        ("grouped", {("stem.weight",): (4, 4), ("grouped.weight",): (6, 4)}),
        ("attention", {("qkv.weight",): (8, 12), ("up.weight",): (48, 1)}),
        ("separate_attention", {("query.weight", "key.weight", "value.weight"): (8, 4)}),
        (
            "transposed",
            {("down.weight",): (16, 1), ("up.weight",): (6, 4), ("grouped.weight",): (4, 1)},
        ),
        ("channels_last", {("one.weight",): (16, 1), ("two.weight",): (8, 1)}),
    ],
)
def test_units_are_the_smallest_that_can_go(
    all_traced: dict[str, Traced], name: str, widths: dict[tuple[str, ...], tuple[int, int]]
) -> None:
    assert all_traced[name].widths == widths


def test_what_stays_says_why(all_traced: dict[str, Traced]) -> None:
    assert all_traced["residual"].kept == {"head.weight": "it is an output of the model"}
    no_rule = all_traced["concatenated"].kept["three.weight"]
    assert "aten.repeat_interleave.self_int" in no_rule
    assert "no rule" in no_rule
    # the stream of a transformer goes through layer norms and to the output
    assert set(all_traced["attention"].kept) == {"out.weight", "down.weight"}


class OneHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x) for layer in self.layers[:3])
        return self.layers[3](nn.functional.scaled_dot_product_attention(query, key, value))


def test_what_attention_sums_over_stays_and_what_it_gives_may_go() -> None:
    found = traced(OneHead(), torch.randn(1, 4, 8))
    assert found.widths == {("layers.2.weight",): (8, 1)}
    assert "scaled_dot_product_attention" in found.kept["layers.0.weight"]


class TiedTwice(nn.Module):
    """One weight in two layers, whose channels go together then."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.shared = nn.Linear(12, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.shared(self.shared(self.first(x)).relu()).relu())


def test_a_shared_weight_ties_what_it_takes_and_makes() -> None:
    found = traced(TiedTwice(), torch.randn(1, 6))
    assert found.widths == {("first.weight", "shared.weight"): (12, 1)}


def test_sums_of_what_layers_give_are_told_from_biases_and_gates(
    all_traced: dict[str, Traced],
) -> None:
    sums = {
        name: {each.weights: each.is_sum for each in all_traced[name].dimensions}
        for name in ("residual", "squeeze_and_excite", "channels_last")
    }
    assert sums["residual"] == {("stem.weight", "two.weight"): True, ("one.weight",): False}
    assert not any(sums["squeeze_and_excite"].values())
    assert not any(sums["channels_last"].values())
