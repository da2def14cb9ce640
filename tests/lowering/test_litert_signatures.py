"""The programs of signatures: their names, and what the converter computes of them."""

from __future__ import annotations

import numpy as np
import torch

from mobilesdk.core.scheme import WeightRecord, WeightScheme
from mobilesdk.graph.program import export_program
from mobilesdk.lowering.litert.expectation import Operands, expected_weights
from mobilesdk.lowering.litert.matching import Matches
from mobilesdk.lowering.litert.signatures import SizedProgram, signature_name


def test_signatures_are_named_after_their_sizes() -> None:
    assert signature_name({"height": 64, "width": 96}) == "height_64_width_96"
    assert signature_name({}) == "serving_default"


class Placed(torch.nn.Module):
    """Adds a row of a table that no input chooses to what a layer gives."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = torch.nn.Embedding(2, 4)
        self.layer = torch.nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(x) + self.kinds(torch.tensor([1])),)


def test_a_weight_that_meets_no_input_is_part_of_another_constant() -> None:
    program = SizedProgram("one", {}, export_program(Placed().eval(), [torch.zeros(1, 4)]))
    assert "kinds.weight" in program.input_free
    assert "layer.weight" not in program.input_free

    values = {name: np.ones((4, 4), np.float32) for name in ("kinds.weight", "layer.weight")}
    records = [
        WeightRecord(
            name=name,
            role="other",
            shape=(4, 4),
            requested=WeightScheme(),
            planned=WeightScheme(),
        )
        for name in values
    ]
    nothing = Matches({}, {}, ())
    lines = expected_weights(records, values, nothing, Operands(0, frozenset()), program.input_free)
    assert [(line.name, line.merged) for line in lines] == [
        ("kinds.weight", True),
        ("layer.weight", False),
    ]
