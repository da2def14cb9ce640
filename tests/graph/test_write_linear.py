import torch
from torch import nn

from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.roles import weights


class Products(nn.Module):
    """A layer as GPT-2 writes it, and a product whose weight is on the left."""

    def __init__(self):
        super().__init__()
        self.conv1d = nn.Parameter(torch.randn(8, 12))
        self.bias = nn.Parameter(torch.randn(12))
        self.plain = nn.Parameter(torch.randn(12, 5))
        self.left = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        hidden = torch.addmm(self.bias, x, self.conv1d)
        return (hidden @ self.plain, self.left @ hidden)


def prepared_products():
    torch.manual_seed(0)
    module = Products().eval()
    inputs = (torch.randn(4, 8),)
    return module, inputs, prepare(export_program(module, inputs))


def test_products_with_a_weight_become_linear_layers_of_output_channels_first():
    module, inputs, program = prepared_products()
    found = {weight.name: (weight.role, weight.shape) for weight in weights(program)}
    assert found["conv1d"] == ("linear", (12, 8))
    assert found["plain"] == ("linear", (5, 12))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("aten.linear.default") == 2
    for expected, given in zip(module(*inputs), graph_module(program)(*inputs), strict=True):
        torch.testing.assert_close(given, expected)


def test_a_weight_on_the_left_stays_where_it_is():
    _, _, program = prepared_products()
    shapes = {weight.name: weight.shape for weight in weights(program)}
    assert shapes["left"] == (3, 4)
