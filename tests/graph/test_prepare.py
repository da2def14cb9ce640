from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilesdk.graph.flatten import export_flat, input_leaves
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module, load_program, save_program
from mobilesdk.graph.roles import weights

NORM = "aten._native_batch_norm_legit_no_training.default"


def export(module, *inputs):
    return export_flat(module.eval(), input_leaves(module, inputs))


def ops(program):
    return Counter(str(n.target) for n in program.graph.nodes if n.op == "call_function")


def outputs(program, *inputs):
    return graph_module(program)(*inputs)


def assert_same(original, prepared, *inputs):
    for true, seen in zip(outputs(original, *inputs), outputs(prepared, *inputs), strict=True):
        torch.testing.assert_close(seen, true, rtol=1e-4, atol=1e-5)


class Lambda(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def randomized(norm):
    """Give a norm statistics that show when they are lost."""
    generator = torch.Generator().manual_seed(1)
    size = norm.running_mean.shape
    norm.running_mean.copy_(torch.randn(size, generator=generator))
    norm.running_var.copy_(torch.rand(size, generator=generator) + 0.5)
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.randn(size, generator=generator))
            norm.bias.copy_(torch.randn(size, generator=generator))
    return norm


FOLDABLE = {
    "conv1d": (nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), (1, 3, 9)),
    "conv2d without a bias": (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), (1, 3, 9, 9)),
    "conv2d in groups": (nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8), (1, 4, 9, 9)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), (1, 8, 9, 9)),
    "same padding": (nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), (1, 3, 9, 9)),
    "conv3d": (nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), (1, 3, 5, 5, 5)),
    "transposed 1d": (nn.ConvTranspose1d(4, 8, 3), nn.BatchNorm1d(8), (1, 4, 9)),
    "transposed 2d in groups": (
        nn.ConvTranspose2d(4, 8, 3, stride=2, groups=2, bias=False),
        nn.BatchNorm2d(8),
        (1, 4, 5, 5),
    ),
    "transposed 3d": (nn.ConvTranspose3d(4, 8, 2), nn.BatchNorm3d(8), (1, 4, 3, 3, 3)),
    "linear": (nn.Linear(5, 8), nn.BatchNorm1d(8), (2, 5)),
    "norm without affine": (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), (1, 3, 9, 9)),
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_norms_fold_into_what_comes_before(name):
    layer, norm, shape = FOLDABLE[name]
    module = nn.Sequential(layer, randomized(norm))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    original = export(module, x)
    prepared = prepare(original)
    assert NORM in ops(original)
    assert NORM not in ops(prepared)
    assert set(prepared.state_dict) == {"0.weight", "0.bias"}
    assert_same(original, prepared, x)


def two_users(self, x):
    y = self.conv(x)
    return self.norm(y) + y


def shared_weight(self, x):
    return self.norm(self.conv(x)) + self.conv(x + 1)


UNFOLDED = {
    "first in the network": (lambda self, x: self.conv(self.norm_in(x)), (1, 3, 9, 9)),
    "two users": (two_users, (1, 3, 9, 9)),
    "a shared weight": (shared_weight, (1, 3, 9, 9)),
    "behind a concatenation": (
        lambda self, x: self.norm_in6(torch.cat([x, x + 1], 1)),
        (1, 3, 9, 9),
    ),
    "before an activation, as in ResNet v2": (
        lambda self, x: self.conv(F.relu(self.norm_in(x))),
        (1, 3, 9, 9),
    ),
    "one norm called twice": (lambda self, x: self.norm(self.norm(self.conv(x)) + 1), (1, 3, 9, 9)),
    "after an activation": (lambda self, x: self.norm(F.relu(self.conv(x))), (1, 3, 9, 9)),
    "another axis": (lambda self, x: self.norm_in1(self.linear(x)), (1, 3, 5)),
}


@pytest.mark.parametrize("name", UNFOLDED)
def test_norms_are_written_out_where_folding_would_change_something_else(name):
    function, shape = UNFOLDED[name]
    module = Lambda(
        function,
        conv=nn.Conv2d(3, 8, 3),
        linear=nn.Linear(5, 3),
        norm=randomized(nn.BatchNorm2d(8)),
        norm_in=randomized(nn.BatchNorm2d(3)),
        norm_in6=randomized(nn.BatchNorm2d(6, affine=False)),
        norm_in1=randomized(nn.BatchNorm1d(3)),
    )
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    original = export(module, x)
    prepared = prepare(original)
    assert NORM in ops(original)
    assert NORM not in ops(prepared)
    assert ops(prepared)["aten.mul.Tensor"] == 1
    assert all("scale" not in weight.name for weight in weights(prepared))
    assert_same(original, prepared, x)


@pytest.mark.parametrize(
    "relu6",
    [
        nn.ReLU6(inplace=True),
        Lambda(lambda _, x: F.relu6(x)),
        Lambda(lambda _, x: torch.clamp(x, 0, 6)),
        Lambda(lambda _, x: x.clamp(max=6.0, min=0.0)),
        nn.Hardtanh(0, 6),
    ],
)
def test_relu6_has_one_form(relu6):
    x = torch.tensor([[-3.0, 0.0, 5.0, 7.0]])
    prepared = prepare(export(nn.Sequential(nn.Identity(), relu6), x + 0))
    (node,) = prepared.graph.find_nodes(op="call_function", target=torch.ops.aten.hardtanh.default)
    assert node.args[1:] == (0.0, 6.0)
    torch.testing.assert_close(outputs(prepared, x)[0], torch.tensor([[0.0, 0.0, 5.0, 6.0]]))


@pytest.mark.parametrize("limits", [(0, 5), (-1, 6), (0, None)])
def test_other_clamps_stay(limits):
    x = torch.tensor([[-3.0, 0.0, 5.0, 7.0]])
    original = export(Lambda(lambda _, x: torch.clamp(x, *limits)), x)
    assert_same(original, prepare(original), x)
    assert "aten.hardtanh.default" not in ops(prepare(original))


NO_OPS = {
    "dropout": lambda self, x: self.drop(x * 2),
    "clone": lambda self, x: (x * 2).clone(),
    "pad by nothing": lambda self, x: F.pad(x * 2, (0, 0, 0, 0)),
    "a whole slice": lambda self, x: (x * 2)[:, :, :, :],
    "contiguous": lambda self, x: (x * 2).contiguous(),
    "the same shape": lambda self, x: (x * 2).reshape(1, 3, 4, 4).expand(1, 3, 4, 4),
    "the same dtype": lambda self, x: (x * 2).to(torch.float32),
    "detach": lambda self, x: (x * 2).detach(),
}


@pytest.mark.parametrize("name", NO_OPS)
def test_ops_that_do_nothing_are_removed(name):
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    module = Lambda(NO_OPS[name], drop=nn.Dropout(0.5))
    prepared = prepare(export(module, x))
    assert ops(prepared) == {"aten.mul.Tensor": 1}
    torch.testing.assert_close(outputs(prepared, x)[0], x * 2)


EXPANSIONS = {
    "normalize": (lambda _, x: F.normalize(x, dim=1), 0),
    "expand_as": (lambda _, x: x * x.mean(1, keepdim=True).expand_as(x), 0),
    "of both operands": (lambda _, x: x[:, :1].expand_as(x) * x[:, 1:2].expand_as(x), 1),
    "a result": (lambda _, x: x[:, :1].expand_as(x), 1),
}


@pytest.mark.parametrize("name", EXPANSIONS)
def test_operands_that_are_stretched_anyway_are_not_expanded(name):
    function, left = EXPANSIONS[name]
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    original = export(Lambda(function), x)
    prepared = prepare(original)
    assert (
        ops(prepared)["aten.expand.default"] == left < ops(original)["aten.expand.default"] + left
    )
    assert_same(original, prepared, x)


def test_pads_slices_and_casts_that_do_something_stay():
    def function(_, x):
        return F.pad(x, (0, 1))[:, :, 1:].to(torch.int32)

    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    original = export(Lambda(function), x)
    assert sum(ops(prepare(original)).values()) == 3
    assert_same(original, prepare(original), x)


def test_results_stay_apart_from_inputs_and_from_each_other():
    def function(_, x):
        y = x * 2
        return x.clone(), y, y.clone()

    x = torch.ones(1, 3)
    prepared = prepare(export(Lambda(function), x))
    first, second, third = outputs(prepared, x)
    assert len({first.data_ptr(), second.data_ptr(), third.data_ptr(), x.data_ptr()}) == 4


def test_a_copy_that_a_view_needs_comes_back():
    x = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    original = export(Lambda(lambda _, x: x.transpose(1, 3).contiguous().reshape(1, -1)), x)
    assert_same(original, prepare(original), x)


def test_pools_get_a_stride():
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    original = export(Lambda(lambda _, x: F.max_pool2d(x, 2)), x)
    (node,) = prepare(original).graph.find_nodes(
        op="call_function", target=torch.ops.aten.max_pool2d.default
    )
    assert node.args[1:] == ([2, 2], [2, 2])
    assert_same(original, prepare(original), x)


def test_ops_with_two_names_get_the_short_one():
    def function(_, x):
        return torch.subtract(x, torch.multiply(torch.absolute(x), torch.divide(x, 2.0)))

    x = torch.randn(1, 3)
    original = export(Lambda(function), x)
    expected = {"aten.sub.Tensor", "aten.mul.Tensor", "aten.abs.default", "aten.div.Tensor"}
    assert set(ops(prepare(original))) == expected
    assert_same(original, prepare(original), x)


def test_masks_and_positions_are_computed_once():
    def function(self, x):
        mask = torch.triu(x.new_ones(4, 4), 1) * -1e4
        return x + mask + self.positions(torch.arange(4))

    x = torch.randn(1, 4, 4)
    original = export(Lambda(function, positions=nn.Embedding(4, 4)), x)
    prepared = prepare(original)
    assert ops(prepared) == {"aten.add.Tensor": 2}
    assert [(w.name, w.role) for w in weights(prepared)] == [("positions.weight_1", "other")]
    assert_same(original, prepared, x)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
# Exporting says that the layer's list of its own weights was set anew.
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_recurrent_layers_are_products_and_sums_with_weights_to_compress(layer):
    recurrent = layer(4, 6, batch_first=True, bidirectional=True)
    module = Lambda(lambda self, x: self.layer(x)[0], layer=recurrent)
    x = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    original = export(module, x)
    prepared = prepare(original)
    assert "aten.linear.default" in ops(prepared)
    left = ("lstm", "gru", "rnn", "flip")
    assert not [name for name in ops(prepared) if any(word in name for word in left)]
    roles = {weight.name: weight.role for weight in weights(prepared)}
    assert roles["layer.weight_ih_l0"] == roles["layer.weight_hh_l0"] == "linear"
    assert_same(original, prepared, x)


def test_random_numbers_are_not_folded():
    x = torch.ones(1, 4)
    prepared = prepare(export(Lambda(lambda _, x: x + torch.rand(4)), x))
    assert "aten.rand.default" in ops(prepared)


def test_large_constants_stay_computed():
    x = torch.ones(1, 1)
    prepared = prepare(export(Lambda(lambda _, x: x + torch.zeros(300, 300)), x))
    assert not prepared.state_dict
    assert not prepared.constants


def test_a_parametrized_weight_becomes_a_weight():
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
    x = torch.randn(1, 4)
    original = export(nn.Sequential(linear), x)
    prepared = prepare(original)
    assert [(w.name, w.role) for w in weights(prepared)] == [("0.weight", "linear")]
    assert_same(original, prepared, x)


def test_roles():
    module = Lambda(
        lambda self, x, ids: (
            self.up(self.depthwise(self.conv(x))),
            self.embedding(ids) @ self.matrix + self.linear(self.embedding(ids)) * self.scale,
            self.tied(self.embedding(ids)),
        ),
        conv=nn.Conv2d(3, 8, 3),
        depthwise=nn.Conv2d(8, 16, 3, groups=8),
        up=nn.ConvTranspose2d(16, 4, 2),
        embedding=nn.Embedding(10, 6),
        linear=nn.Linear(6, 6),
        tied=nn.Linear(6, 10, bias=False),
        matrix=nn.Parameter(torch.randn(6, 6)),
        scale=nn.Parameter(torch.randn(1, 6)),
        unused=nn.Linear(3, 3),
    )
    module.tied.weight = module.embedding.weight
    inputs = (torch.randn(1, 3, 9, 9), torch.zeros(1, 5, dtype=torch.int64))
    found = {weight.name: weight.role for weight in weights(prepare(export(module, *inputs)))}
    tied = found.pop("embedding.weight", None) or found.pop("tied.weight")
    assert tied == "embedding"
    assert found == {
        "conv.weight": "conv",
        "depthwise.weight": "depthwise",
        "up.weight": "conv_transpose",
        "linear.weight": "linear",
        "matrix": "linear",
        "scale": "other",
    }


def test_groups():
    module = nn.Sequential(
        nn.Conv2d(4, 8, 1, groups=2), nn.ConvTranspose2d(8, 8, 2, groups=4), nn.Conv2d(8, 8, 1)
    )
    prepared = prepare(export(module, torch.randn(1, 4, 5, 5)))
    assert [weight.groups for weight in weights(prepared)] == [2, 4, 1]


def test_a_convolution_of_one_channel_is_not_depthwise():
    prepared = prepare(export(nn.Sequential(nn.Conv2d(1, 8, 3)), torch.randn(1, 1, 9, 9)))
    assert weights(prepared)[0].role == "conv"


def test_the_original_stays_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), randomized(nn.BatchNorm2d(8)))
    x = torch.randn(1, 3, 9, 9)
    original = export(module, x)
    before = {name: tensor.clone() for name, tensor in original.state_dict.items()}
    prepare(original)
    assert ops(original)[NORM] == 1
    for name, tensor in original.state_dict.items():
        assert torch.equal(tensor, before[name])


def test_preparing_twice_changes_nothing():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), randomized(nn.BatchNorm2d(8)), nn.ReLU6())
    once = prepare(export(module, torch.randn(1, 3, 9, 9)))
    twice = prepare(once)
    assert ops(twice) == ops(once)
    assert all(torch.equal(twice.state_dict[n], once.state_dict[n]) for n in once.state_dict)


def test_programs_survive_the_disk_and_equal_ones_have_equal_bytes(tmp_path):
    x = torch.randn(1, 3, 9, 9)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), randomized(nn.BatchNorm2d(8)))
    program = prepare(export(module, x))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_program(prepare(export(module, x)), tmp_path / folder / "program.pt2")
    first, second = (tmp_path / folder / "program.pt2" for folder in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    loaded = load_program(first)
    assert weights(loaded) == weights(program)
    assert torch.equal(outputs(loaded, x)[0], outputs(program, x)[0])
    assert str(__file__).encode() not in first.read_bytes()


def test_a_graph_module_takes_and_gives_flat_tensors():
    module = Lambda(lambda self, pair: {"sum": pair[0] + pair[1]}, linear=nn.Linear(2, 2))
    leaves = input_leaves(module, ((torch.ones(1, 2), torch.ones(1, 2)),))
    flat = graph_module(export_flat(module.eval(), leaves))
    assert not flat.training
    assert [node.name for node in flat.graph.find_nodes(op="placeholder")] == list(leaves.names)
    (result,) = flat(*leaves.tensors)
    torch.testing.assert_close(result, torch.full((1, 2), 2.0))


def test_export_is_functional():
    program = export_program(nn.ReLU(inplace=True).eval(), [torch.randn(1, 3)])
    assert ops(program) == {"aten.relu.default": 1}
