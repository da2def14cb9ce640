from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilesdk.graph.axis_order import move_permutes
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.rewrites import free_shapes

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class Net(nn.Module):
    """Convolutions in ``NCHW``, and a function in ``NHWC`` between and behind them."""

    def __init__(self, function, back=True):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 2, 1)
        self.slopes = nn.Parameter(torch.rand(4) + 0.5)
        self.function, self.back = function, back

    def forward(self, x):
        y = self.function(self, self.first(x).permute(NHWC))
        return self.second(y.permute(NCHW)) if self.back else y


def moved(module, *inputs):
    program = export_program(module.eval(), inputs)
    changed = graph_module(program)
    move_permutes(changed)
    free_shapes(changed)
    changed.recompile()
    again = export_program(torch.fx.GraphModule(changed, changed.graph), inputs)
    expected = graph_module(program)(*inputs)
    for seen, true in zip(graph_module(again)(*inputs), expected, strict=True):
        torch.testing.assert_close(seen, true)
    return again


def permutes(program):
    return Counter(str(n.target) for n in program.graph.nodes)["aten.permute.default"]


X = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

CANCELLING = {
    "nothing between": lambda self, y: y,
    "an activation": lambda self, y: y.clamp(0, 6),
    "a number for each channel": lambda self, y: F.relu(y * self.slopes + 1),
    "a residual": lambda self, y: y.sigmoid() * y + y,
    "a mean that keeps its axes": lambda self, y: y * y.mean((1, 2), keepdim=True),
    "a pad": lambda self, y: F.pad(y, (0, 0, 1, 2, 3, 4)),
    "a concatenation of channels": lambda self, y: torch.cat([y, -y], 3)[..., 2:6],
    "a softmax over channels": lambda self, y: y.softmax(-1),
    "a value for each channel": lambda self, y: y * y.mean((1, 2)).reshape(1, 1, 1, 4),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_permutes_cancel_around_ops_that_can_work_in_any_order(name):
    assert permutes(moved(Net(CANCELLING[name]), X)) == 0


def test_a_mean_over_height_and_width_ends_the_order():
    assert permutes(moved(Net(lambda self, y: F.relu(y).mean((1, 2)), back=False), X)) == 0


def test_an_activation_comes_before_the_permute_of_a_result():
    program = moved(Net(lambda self, y: F.relu(y).flatten(1), back=False), X)
    ops = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert ops.index("aten.relu.default") < ops.index("aten.permute.default")


KEPT = {
    "an op without a rule": (lambda self, y: y.cumsum(2), True, 2),
    "a mean that swaps what is left": (lambda self, y: y.mean(1), False, 1),
    "an operand in another order": (lambda self, y: y + y.permute(0, 2, 1, 3), True, 3),
    "a pad that mirrors": (lambda self, y: F.pad(y, (0, 0, 1, 1), mode="reflect"), True, 2),
}


@pytest.mark.parametrize("name", KEPT)
def test_permutes_stay_where_something_depends_on_the_order(name):
    function, back, count = KEPT[name]
    assert permutes(moved(Net(function, bool(back)), X)) == count


def test_more_permutes_are_never_made():
    """Two results in the old order would need two permutes in place of one."""

    class Two(nn.Module):
        def forward(self, x):
            y = x.permute(NHWC)
            return y.sin().flatten(), y.cos().flatten()

    assert permutes(moved(Two(), X)) == 1


def test_attention_is_left_alone():
    class Attention(nn.Module):
        def forward(self, x):
            heads = x.reshape(1, 4, 2, 3).permute(0, 2, 1, 3) * 0.5
            return (heads @ heads.transpose(2, 3)).softmax(-1) @ heads

    assert permutes(moved(Attention(), torch.rand(1, 4, 6))) == 1
