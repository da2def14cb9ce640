import torch
from torch import Tensor, nn

from mobilesdk.graph.importance import importance, input_energies
from mobilesdk.graph.program import export_program


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 6, 3, groups=2)
        self.linear = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).relu().mean((2, 3)))


def test_energies_are_mean_squares_of_what_a_layer_is_given() -> None:
    module = Net().eval()
    inputs = [
        (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(i)),) for i in (1, 2)
    ]
    program = export_program(module, inputs[0])
    energies = input_energies(program, inputs, lambda *_: None)
    stacked = torch.cat([image for (image,) in inputs])
    torch.testing.assert_close(energies["conv.weight"], stacked.square().mean((0, 2, 3)))
    hidden = module.conv(stacked).relu().mean((2, 3)).detach()
    torch.testing.assert_close(energies["linear.weight"], hidden.square().mean(0))


def test_each_element_gets_the_energy_of_its_input_channel() -> None:
    energy = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert importance(energy, "linear", (7, 4)).expand(7, 4)[5].tolist() == [1, 2, 3, 4]
    grouped = importance(energy, "conv", (6, 2, 3, 3)).expand(6, 2, 3, 3)[:, :, 0, 0]
    assert grouped.tolist() == [[1, 2]] * 3 + [[3, 4]] * 3
    depthwise = importance(energy, "depthwise", (8, 1, 3, 3))
    assert depthwise.flatten().tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    transposed = importance(energy, "conv_transpose", (4, 5, 2, 2)).expand(4, 5, 2, 2)
    assert transposed[:, 3, 1, 1].tolist() == [1, 2, 3, 4]


def test_a_channel_that_stays_at_zero_counts_a_little() -> None:
    spread = importance(torch.tensor([0.0, 10.0]), "linear", (1, 2))
    assert 0 < spread[0, 0] < 0.01 * spread[0, 1]
    assert (importance(torch.zeros(2), "linear", (1, 2)) > 0).all()
