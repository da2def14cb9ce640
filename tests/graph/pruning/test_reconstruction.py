"""Layers that lost inputs come nearest to what they gave before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program
from mobilesdk.graph.pruning.patches import patches
from mobilesdk.graph.pruning.reconstruction import reconstruct, ridge

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(6, 4), (2, 5, 6)),
    (nn.Conv1d(6, 4, 3, padding=1), (1, 6, 9)),
    (nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (1, 6, 9, 8)),
    (nn.Conv2d(6, 4, 3, padding="same"), (1, 6, 7, 8)),
    (nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1), (1, 6, 5)),
    (nn.ConvTranspose2d(6, 4, (3, 2), stride=2, padding=(1, 0), output_padding=1), (1, 6, 5, 4)),
    (nn.ConvTranspose2d(6, 4, 3, dilation=2), (1, 6, 5, 4)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda each: str(each))
def test_a_layer_is_a_product_with_its_patches(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    example = torch.randn(shape)
    program = prepare(export_program(layer.eval(), [example]))
    node = next(node for node in program.graph.nodes if node.op == "call_function")
    weight, bias = layer.weight.detach(), layer.bias.detach()
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        weight = weight.transpose(0, 1)
    rows = patches(node, example) @ weight.flatten(1).T + bias
    with torch.no_grad():
        output = layer(example)
    axis = -1 if isinstance(layer, nn.Linear) else 1
    torch.testing.assert_close(rows, output.movedim(axis, -1).flatten(0, -2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [400, 12])
def test_least_squares_finds_a_gain_and_a_shift(rows: int) -> None:
    torch.manual_seed(0)
    inputs, gain, shift = torch.randn(rows, 20) + 3.0, torch.randn(4, 20), torch.randn(4)
    missing = inputs @ gain.T + shift
    found, moved = ridge(inputs, missing, has_bias=True)
    left = (missing - inputs @ found.T - moved).norm() / (missing - missing.mean(0)).norm()
    assert left < 0.05
    without_shift, none = ridge(inputs, missing, has_bias=False)
    assert not none.any()
    assert (missing - inputs @ without_shift.T).norm() / missing.norm() < 0.1


def test_over_rows_and_over_features_it_is_the_same() -> None:
    torch.manual_seed(0)
    inputs, missing = torch.randn(20, 20), torch.randn(20, 3)
    wide = torch.cat([inputs, torch.zeros(20, 1)], 1)  # one feature more than rows
    over_features, shift = ridge(inputs, missing, has_bias=True)
    over_rows, same_shift = ridge(wide, missing, has_bias=True)
    torch.testing.assert_close(over_rows[:, :20], over_features, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(same_shift, shift, rtol=1e-3, atol=1e-4)
    assert not over_rows[:, 20].any()


class Redundant(nn.Module):
    """Its hidden channels repeat each other, so that half of them tell all."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3)
        self.second = nn.Conv2d(8, 4, 3)
        self.third = nn.Conv2d(8, 8, 1, groups=2)
        with torch.no_grad():
            self.first.weight[4:] = 2 * self.first.weight[:4]
            self.first.bias[4:] = 2 * self.first.bias[:4]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(x).relu()
        return self.second(x), self.third(x)


def test_what_the_rest_tells_is_given_back_exactly() -> None:
    torch.manual_seed(0)
    program = prepare(export_program(Redundant().eval(), [torch.zeros(1, 2, 9, 9)]))
    samples = [(torch.randn(1, 2, 9, 9),) for _ in range(6)]
    weight = program.state_dict["second.weight"].detach()
    gone = [4, 5, 6, 7]
    masked = {"second.weight": weight.index_fill(1, torch.tensor(gone), 0.0)}
    removed = {"second.weight": {1: gone}, "third.weight": {1: [2, 3]}}
    fitted, notes = reconstruct(program, masked, removed, samples, lambda *_: None)
    assert set(fitted) == {"second.weight", "second.bias"}
    assert not fitted["second.weight"][:, 4:].any()
    folded = weight[:, :4] + 2 * weight[:, 4:]
    distance = (fitted["second.weight"][:, :4] - folded).norm() / folded.norm()
    assert distance < 0.05
    assert [note.partition(" is ")[2] for note in notes] == ["a convolution in groups: not fitted"]
