"""Multiplications, counted by hand."""

import torch
from torch import Tensor, nn

from mobilesdk.graph.cost import count_macs
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.linear = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.depthwise(self.conv(x)).relu())  # [1, 4, 8, 8]
        x = self.linear(x.flatten(2).transpose(1, 2))  # [1, 64, 6]
        return nn.functional.scaled_dot_product_attention(x, x, x) @ x.transpose(1, 2)


def test_every_product_counts_once() -> None:
    program = prepare(export_program(Net().eval(), [torch.zeros(1, 3, 8, 8)]))
    conv = 8 * 4 * 4 * 3 * 9
    depthwise = 8 * 4 * 4 * 9
    up = 8 * 4 * 4 * 4 * 4
    linear = 64 * 4 * 6
    attention = 2 * 64 * 64 * 6
    product = 64 * 64 * 6
    assert count_macs(program) == conv + depthwise + up + linear + attention + product
