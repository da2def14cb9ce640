from collections import Counter

import pytest
import torch
from torch import nn

from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.roles import weights


class Product(nn.Module):
    def __init__(self, equation, shape, bias=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.equation = equation
        self.kernel = nn.Parameter(torch.rand(shape, generator=generator))
        self.bias = None if bias is None else nn.Parameter(torch.rand(bias, generator=generator))

    def forward(self, x):
        y = torch.einsum(self.equation, x, self.kernel)
        return y if self.bias is None else y + self.bias


def prepared(module, x):
    program = export_program(module.eval(), (x,))
    found = prepare(program)
    torch.testing.assert_close(graph_module(found)(x), graph_module(program)(x))
    return found, Counter(
        str(n.target).split(".")[1] for n in found.graph.nodes if n.op == "call_function"
    )


X = torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(1))
HEADS = X.reshape(1, 5, 2, 3)
LAYERS = {
    "heads out of features": (Product("abc,cde->abde", (6, 2, 4), (2, 4)), X, (8, 6)),
    "features out of heads": (Product("abcd,cde->abe", (2, 3, 4), (4,)), HEADS, (4, 6)),
    "a plain product": (Product("abc,cd->abd", (6, 4)), X, (4, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_an_einsum_with_a_weight_is_a_linear_layer(name):
    module, x, shape = LAYERS[name]
    program, ops = prepared(module, x)
    assert ops["linear"] == 1
    assert ops["add"] == ops["einsum"] == 0
    assert [(w.name, w.role, w.shape) for w in weights(program)] == [("kernel", "linear", shape)]


OTHERS = {
    "a weight that begins with what it keeps": (Product("abc,dc->abd", (4, 6)), X),
    "an axis that both keep": (Product("abc,bcd->abd", (5, 6, 4)), X),
    "axes of the result in another order": (Product("abc,cd->adb", (6, 4)), X),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_einsums_stay(name):
    assert prepared(*OTHERS[name])[1]["einsum"] == 1
