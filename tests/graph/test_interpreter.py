import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

from mobilesdk.errors import StepFailed
from mobilesdk.graph.interpreter import Values, run_variants
from mobilesdk.graph.program import export_program


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.randn(4, 3))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.linear(left).relu()
        first, second = hidden.split(2, dim=1)
        return first + right, second @ self.scale[:2].exp()


def ignore(_node: Node, _values: Values) -> None:
    pass


def no_report(_message: str, _fraction: float | None = None) -> None:
    pass


def samples(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(1, 6, generator=generator), torch.randn(1, 2, generator=generator))
        for _ in range(count)
    ]


def test_every_sample_gives_what_the_module_gives() -> None:
    module = TwoInputs().eval()
    program = export_program(module, samples(1)[0])
    inputs = samples(3)
    (outputs,) = run_variants(program, [{}], inputs, ignore, no_report)
    for output, (left, right) in zip(outputs, inputs, strict=True):
        for found, expected in zip(output, module(left, right), strict=True):
            torch.testing.assert_close(found, expected.detach())


def test_variants_differ_by_their_states_alone() -> None:
    program = export_program(TwoInputs().eval(), samples(1)[0])
    states: list[dict[str, Tensor]] = [{}, {"linear.weight": torch.zeros(4, 6)}]
    base, zeroed = run_variants(program, states, samples(2), ignore, no_report)
    (plain,) = run_variants(program, [{}], samples(2), ignore, no_report)
    assert torch.equal(base[0][0], plain[0][0])
    assert not torch.equal(zeroed[0][0], plain[0][0])
    assert torch.equal(zeroed[0][1], zeroed[1][1])  # the second output sees nothing else


def test_what_a_visitor_replaces_is_what_later_nodes_see() -> None:
    program = export_program(TwoInputs().eval(), samples(1)[0])

    def zero_relu(node: Node, values: Values) -> None:
        if "relu" in str(node.target):
            values[0] = [torch.zeros_like(tensor) for tensor in values[0]]

    (outputs,) = run_variants(program, [{}], samples(2), zero_relu, no_report)
    for output, (_, right) in zip(outputs, samples(2), strict=True):
        assert torch.equal(output[0], right)


def test_inputs_are_visited_and_constants_are_not() -> None:
    program = export_program(TwoInputs().eval(), samples(1)[0])
    visited = []

    def note(node: Node, values: Values) -> None:
        visited.append(str(node.target))
        assert all(len(variant) == 2 for variant in values)

    run_variants(program, [{}], samples(2), note, no_report)
    assert {"left", "right"} <= set(visited)
    assert not any("exp" in target or "weight" in target for target in visited)


def test_progress_ends_near_one() -> None:
    program = export_program(TwoInputs().eval(), samples(1)[0])
    shares: list[float] = []
    run_variants(program, [{}], samples(1), ignore, lambda _message, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] > 0.8


def test_an_op_that_fails_is_named() -> None:
    program = export_program(TwoInputs().eval(), samples(1)[0])
    wrong = [(torch.zeros(1, 5), torch.zeros(1, 2))]
    with pytest.raises(StepFailed, match=r"aten\.linear"):
        run_variants(program, [{}], wrong, ignore, no_report)
