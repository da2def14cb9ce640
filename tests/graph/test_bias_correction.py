import torch
from torch import Tensor, nn

from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.graph.bias_correction import correct_biases
from mobilesdk.graph.interpreter import run_variants
from mobilesdk.graph.program import export_program
from mobilesdk.graph.rounding import round_linear

FLOAT = ActivationScheme()
STATIC = ActivationScheme(mode="static", bits=8)
INT2 = WeightScheme(encoding="linear", bits=2, granularity="per_tensor")


class Net(nn.Module):
    def __init__(self, linear_bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.linear = nn.Linear(4, 5, bias=linear_bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        x = self.up(self.depthwise(x).relu())
        return self.linear(x.permute(0, 2, 3, 1))


def no_report(_message: str, _fraction: float | None = None) -> None:
    pass


def samples(count: int) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(1, 3, 12, 12, generator=generator),) for _ in range(count)]


def compressed_weights(module: nn.Module) -> dict[str, Tensor]:
    roles = {"conv": "conv", "depthwise": "depthwise", "up": "conv_transpose", "linear": "linear"}
    return {
        f"{name}.weight": round_linear(module.get_submodule(name).weight.detach(), role, INT2)[0]
        for name, role in roles.items()
    }


def mean_errors(
    program: torch.export.ExportedProgram, state: dict[str, Tensor], inputs: list[tuple[Tensor]]
) -> Tensor:
    """Give the mean error of each output channel."""
    states: list[dict[str, Tensor]] = [{}, state]
    exact, changed = run_variants(program, states, inputs, lambda *_: None, no_report)
    errors = [a[0] - b[0] for a, b in zip(exact, changed, strict=True)]
    return torch.stack(errors).mean(dim=(0, 1, 2, 3))


def test_corrected_layers_have_the_mean_of_the_float_network() -> None:
    module = Net().eval()
    program = export_program(module, samples(1)[0])
    compressed = compressed_weights(module)
    biases, notes = correct_biases(program, compressed, samples(8), FLOAT, no_report)
    assert set(biases) == {"conv.bias", "depthwise.bias", "up.bias", "linear.bias"}
    assert notes == []
    uncorrected = mean_errors(program, compressed, samples(8))
    corrected = mean_errors(program, compressed | biases, samples(8))
    assert uncorrected.abs().max() > 0.01  # the rounding does shift means
    assert corrected.abs().max() < 1e-5


def test_the_correction_holds_on_samples_that_it_has_not_seen() -> None:
    module = Net().eval()
    program = export_program(module, samples(1)[0])
    compressed = compressed_weights(module)
    biases, _ = correct_biases(program, compressed, samples(8), FLOAT, no_report)
    unseen = samples(40)[8:]
    assert (
        mean_errors(program, compressed | biases, unseen).norm()
        < 0.1 * mean_errors(program, compressed, unseen).norm()
    )


def test_nothing_is_corrected_where_nothing_changed() -> None:
    module = Net().eval()
    program = export_program(module, samples(1)[0])
    biases, _ = correct_biases(program, {}, samples(4), FLOAT, no_report)
    for name, bias in biases.items():
        torch.testing.assert_close(bias, program.state_dict[name].detach(), atol=1e-7, rtol=0)


def test_static_activations_have_a_share_in_the_correction() -> None:
    module = Net().eval()
    program = export_program(module, samples(1)[0])
    biases, _ = correct_biases(program, {}, samples(4), STATIC, no_report)
    changes = [
        float((bias - program.state_dict[name].detach()).abs().max())
        for name, bias in biases.items()
    ]
    assert 1e-6 < max(changes) < 0.05


def test_a_layer_without_a_bias_is_named() -> None:
    module = Net(linear_bias=False).eval()
    program = export_program(module, samples(1)[0])
    biases, notes = correct_biases(
        program, compressed_weights(module), samples(2), FLOAT, no_report
    )
    assert "linear.bias" not in biases
    assert notes == ["linear has no bias to correct"]


def test_a_bias_of_two_layers_is_left_alone_and_named() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.linear(x))

    module = Twice().eval()
    inputs = [(torch.ones(1, 4),)]
    program = export_program(module, inputs[0])
    weight = round_linear(module.linear.weight.detach(), "linear", INT2)[0]
    biases, notes = correct_biases(program, {"linear.weight": weight}, inputs, FLOAT, no_report)
    assert biases == {}
    assert len(notes) == 2
    assert "shared" in notes[0]
