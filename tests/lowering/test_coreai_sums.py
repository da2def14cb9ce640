"""Constants of Core AI programs are added up where the compiler would do so, and nowhere else."""

import pytest
import torch
from torch import nn

from mobilesdk.core.scheme import WeightRecord, WeightScheme
from mobilesdk.lowering.coreai.sums import add_up_constants

SHAPE = (1, 3)
NAMES = ("a", "b", "c")


class Sums(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        for number, name in enumerate(NAMES):
            setattr(self, name, nn.Parameter(torch.full(SHAPE, float(number + 1))))

    def forward(self, x):
        return self.function(self, x)


def added(function, **planned):
    module = Sums(function)
    x = torch.randn(SHAPE)
    program = torch.export.export(module, (x,)).module(check_guards=False)
    plain = WeightScheme()
    records = [
        WeightRecord(
            name=name,
            role="other",
            shape=SHAPE,
            requested=plain,
            planned=planned.get(name, plain),
        )
        for name in NAMES
    ]
    records, sums = add_up_constants(program, records)
    assert torch.equal(program(x), module(x))
    return [record.name for record in records], sums, program


def test_a_chain_of_sums_becomes_one():
    names, sums, program = added(lambda self, x: self.c + ((x + self.a) + self.b))
    assert names == ["a + b + c"]
    assert torch.equal(sums["a + b + c"], torch.full(SHAPE, 6.0))
    assert len(program.graph.find_nodes(op="call_function", target=torch.ops.aten.add.Tensor)) == 1


@pytest.mark.parametrize(
    ("function", "planned"),
    [
        (lambda self, x: (x + self.a) * (x + self.a + self.b) + self.c, {}),
        (lambda self, x: ((x + self.a) + self.b) * self.a * self.c, {}),
        (lambda self, x: torch.add(x + self.a, self.b, alpha=2) * self.c, {}),
        (lambda self, x: (x + self.a + self.b) * self.c, {"b": WeightScheme(sparsity=0.5)}),
    ],
    ids=["the first sum is used twice", "a constant is", "one is scaled", "one is sparse"],
)
def test_what_something_else_takes_stays(function, planned):
    names, sums, _ = added(function, **planned)
    assert (names, sums) == (list(NAMES), {})
