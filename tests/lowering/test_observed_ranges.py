"""Values without a range are named while a converter observes them."""

import pytest
import torch
from torch import Tensor, nn

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import StepFailed
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.lowering.xnnpack.static import quantize_static


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def test_xnnpack_names_the_node_and_the_sample() -> None:
    program = export_program(Chain().eval(), (torch.zeros(1, 2),))
    scheme = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
    weights = {"first.weight": scheme, "second.weight": scheme}
    samples = [(torch.ones(1, 2),), (torch.full((1, 2), torch.inf),)]
    named = r"activations of x are not finite in sample 1 of the calibration set"
    with pytest.raises(StepFailed, match=named):
        quantize_static(graph_module(program), weights, samples, "minmax")
