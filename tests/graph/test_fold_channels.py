import pytest
import torch
from torch import nn

from mobilesdk.graph.fold_channels import fold_biases, fold_written_norms
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.weight_order import store_weights_as_taken

X = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def numbers(*shape):
    return nn.Parameter(torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5)


def rewritten(module, rewrite, x=X):
    program = export_program(module.eval(), (x,))
    changed = graph_module(program)
    rewrite(changed)
    changed.recompile()
    again = export_program(torch.fx.GraphModule(changed, changed.graph), (x,))
    torch.testing.assert_close(graph_module(again)(x), graph_module(program)(x))
    ops = [str(n.target) for n in again.graph.nodes if n.op == "call_function"]
    return again, [op.removeprefix("aten.").partition(".")[0] for op in ops]


BIASES = {
    "a convolution without one": (nn.Conv2d(3, 4, 3, bias=False), numbers(1, 4, 1, 1)),
    "a convolution with one": (nn.Conv2d(3, 4, 3), numbers(4, 1, 1)),
    "a linear layer": (nn.Linear(8, 4, bias=False), numbers(4)),
}


@pytest.mark.parametrize("name", BIASES)
def test_a_layer_takes_in_what_is_added_to_its_channels(name):
    layer, bias = BIASES[name]
    net = Net(lambda self, x: self.bias + self.layer(x), layer=layer, bias=bias)
    program, ops = rewritten(net, fold_biases)
    assert ops == [layer._get_name().lower()]
    names = set(program.state_dict)
    assert names == {"layer.weight", "bias" if layer.bias is None else "layer.bias"}


def test_a_layer_that_runs_twice_gets_a_bias_each_time():
    net = Net(
        lambda self, x: self.layer(self.layer(x) + self.bias) + self.bias,
        layer=nn.Linear(8, 8, bias=False),
        bias=numbers(8),
    )
    program, ops = rewritten(net, fold_biases)
    assert ops == ["linear", "linear"]
    assert set(program.state_dict) == {"layer.weight", "bias"}


NO_BIAS = {
    "numbers for each column": (lambda self, x: self.layer(x) + self.other, numbers(6)),
    "one number": (lambda self, x: self.layer(x) + self.other, numbers(1)),
    "a second user": (
        lambda self, x: (y := self.layer(x)) * 2 + (y + self.other),
        numbers(4, 1, 1),
    ),
}


@pytest.mark.parametrize("name", NO_BIAS)
def test_what_is_no_bias_stays(name):
    function, other = NO_BIAS[name]
    _, ops = rewritten(Net(function, layer=nn.Conv2d(3, 4, 3), other=other), fold_biases)
    assert ops.count("add") == (2 if name == "a second user" else 1)


def norm(self, y):
    return (y - self.mean) * self.scale + self.shift


def test_a_norm_that_is_written_out_folds_into_its_layer():
    parts = {name: numbers(1, 4, 1, 1) for name in ("mean", "scale", "shift")}
    net = Net(lambda self, x: norm(self, self.layer(x)), layer=nn.Conv2d(3, 4, 3), **parts)
    program, ops = rewritten(net, fold_written_norms)
    assert ops == ["conv2d"]
    assert set(program.state_dict) == {"layer.weight", "layer.bias"}


def test_a_norm_without_a_layer_before_it_becomes_a_product_and_a_sum():
    parts = {name: numbers(1, 3, 1, 1) for name in ("mean", "scale", "shift")}
    _, ops = rewritten(Net(norm, **parts), fold_written_norms)
    assert ops == ["mul", "add"]


@pytest.mark.parametrize("name", BIASES)
def test_a_product_and_a_sum_fold_into_their_layer(name):
    layer, constant = BIASES[name]
    net = Net(
        lambda self, x: self.shift + self.layer(x) * self.scale,
        layer=layer,
        scale=constant,
        shift=numbers(*constant.shape),
    )
    program, ops = rewritten(net, fold_written_norms)
    assert len(ops) == 1
    assert set(program.state_dict) == {"layer.weight", "layer.bias"}


PRODUCTS = {
    "a number for each column": lambda self, x: self.layer(x) * self.columns + self.shift,
    "no sum": lambda self, x: self.layer(x) * self.scale,
    "a product that others take": lambda self, x: (
        (y := self.layer(x) * self.scale) + self.shift + y
    ),
    "a layer that others take": lambda self, x: (y := self.layer(x)) * self.scale + self.shift + y,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_that_is_no_norm_stays(name):
    parts = {"scale": numbers(1, 4, 1, 1), "shift": numbers(1, 4, 1, 1), "columns": numbers(6)}
    net = Net(PRODUCTS[name], layer=nn.Conv2d(3, 4, 3), **parts)
    assert "mul" in rewritten(net, fold_written_norms)[1]


def test_a_norm_along_another_axis_is_not_folded():
    parts = {name: numbers(6) for name in ("mean", "scale", "shift")}
    net = Net(lambda self, x: norm(self, self.layer(x)), layer=nn.Conv2d(3, 4, 3), **parts)
    assert rewritten(net, fold_written_norms)[1] == ["conv2d", "mul", "add"]


def kernel(self, x):
    """Keras's convolution: a kernel as ``[height, width, in, out]``."""
    return nn.functional.conv2d(x, self.kernel.permute(3, 2, 0, 1))


def test_a_weight_is_stored_as_its_layers_take_it():
    net = Net(lambda self, x: kernel(self, kernel(self, x)), kernel=numbers(3, 3, 3, 3))
    program, ops = rewritten(net, store_weights_as_taken)
    assert ops == ["conv2d", "conv2d"]
    torch.testing.assert_close(program.state_dict["kernel"], net.kernel.permute(3, 2, 0, 1))


def test_a_weight_that_something_else_takes_stays_as_it_is():
    net = Net(lambda self, x: kernel(self, x) * self.kernel.sum(), kernel=numbers(3, 3, 3, 4))
    program, ops = rewritten(net, store_weights_as_taken)
    assert ops.count("permute") == 1
    torch.testing.assert_close(program.state_dict["kernel"], net.kernel.data)


def test_a_layer_of_keras_becomes_one_layer():
    """Bias and norm behind the change of axes, as Keras's torch backend writes them."""

    def layer(self, x):
        y = kernel(self, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = y + self.bias.reshape(1, 1, 1, 4)
        y = y.subtract(self.mean.reshape(1, 1, 1, 4)) * self.scale + self.shift
        return torch.clamp(y, 0, 6)

    parts = {name: numbers(4) for name in ("bias", "mean", "scale", "shift")}
    net = Net(layer, kernel=numbers(3, 3, 3, 4), **parts)
    program = prepare(export_program(net.eval(), (X.permute(0, 2, 3, 1).contiguous(),)))
    ops = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert ops == [
        "aten.permute.default",
        "aten.conv2d.default",
        "aten.hardtanh.default",
        "aten.permute.default",
    ]
    assert set(program.state_dict) == {"kernel", "bias"}
