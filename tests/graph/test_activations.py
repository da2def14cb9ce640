import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx import Graph, Node

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.errors import StepFailed
from mobilesdk.graph.activations import fake_quantize, round_activations, rounding_points
from mobilesdk.graph.program import export_program


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.project = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        clamped = nn.functional.hardtanh(self.conv(x), 0.0, 6.0)
        added = self.project(clamped) + clamped
        return added.mean((2, 3)).reshape(2, 2)


def test_clamps_are_rounded_and_not_the_ops_they_are_fused_into() -> None:
    program = export_program(Block().eval(), (torch.zeros(1, 3, 8, 8),))
    points = {str(node.target) for node in rounding_points(program.graph) if node.args}
    convolutions = [
        node in rounding_points(program.graph)
        for node in program.graph.nodes
        if node.target is torch.ops.aten.conv2d.default
    ]
    assert points == {
        "aten.hardtanh.default", "aten.conv2d.default", "aten.add.Tensor", "aten.mean.dim"
    }  # fmt: skip
    assert convolutions == [False, True]


def test_a_conv_whose_value_is_used_unclamped_too_is_rounded() -> None:
    class Both(Block):
        def forward(self, x: Tensor) -> Tensor:
            raw = self.conv(x)
            return raw + raw.relu()

    program = export_program(Both().eval(), (torch.zeros(1, 3, 8, 8),))
    (conv,) = (node for node in program.graph.nodes if node.target is torch.ops.aten.conv2d.default)
    assert conv in rounding_points(program.graph)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([8, 16]))
def test_rounded_values_are_near_and_zero_is_exact(low: float, span: float, bits: int) -> None:
    high = low + span
    values = torch.linspace(low, high, 101)
    rounded = fake_quantize(values, low, high, bits)
    full = max(high, 0) - min(low, 0) if bits == 8 else 2 * max(abs(low), abs(high))
    assert (rounded - values).abs().max() <= 1.01 * full / (2**bits - 1)
    assert float(fake_quantize(torch.zeros(1), low, high, bits)) == 0.0


def test_values_outside_the_range_saturate() -> None:
    assert fake_quantize(torch.tensor([9.0]), 0.0, 6.0, 8).item() == pytest.approx(6.0)


@pytest.fixture
def node() -> Node:
    return Graph().create_node("call_function", torch.relu, name="relu_3")


def test_only_the_compressed_variant_is_rounded_and_integers_are_left_alone(node: Node) -> None:
    scheme = ActivationScheme(mode="static", bits=8)
    tensor = torch.randn(100, generator=torch.Generator().manual_seed(0))
    values = [[tensor], [tensor.clone()]]
    round_activations(node, values, 1, scheme)
    assert torch.equal(values[0][0], tensor)
    assert not torch.equal(values[1][0], tensor)
    assert len(values[1][0].unique()) < 100
    ids = [[torch.arange(5)], [torch.arange(5)]]
    round_activations(node, ids, 1, scheme)
    assert torch.equal(ids[1][0], torch.arange(5))


def test_empty_values_have_no_range_and_stay(node: Node) -> None:
    values = [[torch.zeros(0)], [torch.zeros(0)]]
    round_activations(node, values, 1, ActivationScheme(mode="static", bits=8))
    assert values[1][0].shape == (0,)


def test_a_value_that_is_not_finite_names_its_node_and_sample(node: Node) -> None:
    bad = torch.tensor([1.0, float("inf")])
    values = [[torch.zeros(2)] * 2, [torch.zeros(2), bad]]
    with pytest.raises(StepFailed, match="1 of 2 activations of relu_3 are not finite in sample 1"):
        round_activations(node, values, 1, ActivationScheme(mode="static", bits=8))
