"""Values of the float model: what is written, and what comes from what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.layers import FloatOp, FloatOps
from mobilesdk.core.step import StepContext
from mobilesdk.graph.observe import RECORD_NAME, write_float_ops
from mobilesdk.graph.program import export_program, save_program

CONTRACT = Contract(
    inputs=(
        InputSpec(name="x", shape=(1, 2, 3), dtype="float32"),
        InputSpec(name="ids", shape=(1, 4), dtype="int64"),
    ),
    outputs=(
        OutputSpec(name="sum", shape=(1, 6), dtype="float32"),
        OutputSpec(name="words", shape=(1, 4, 3), dtype="float32"),
    ),
)


class Net(nn.Module):
    """Rearranged values, a value that is computed twice, and integers between floats."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 3)
        self.dense = nn.Linear(3, 3)

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        turned = self.dense(x).transpose(1, 2).reshape(1, 6)
        best = x.argmax(-1).repeat(1, 2)
        words = self.table(ids + best)
        return turned.relu() + torch.relu(turned), words * 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FloatOps, list[dict]]:
    folder = tmp_path_factory.mktemp("floats")
    torch.manual_seed(0)
    program = export_program(Net().eval(), (torch.zeros(1, 2, 3), torch.zeros(1, 4).long()))
    save_program(program, folder / "program.pt2")
    rng = np.random.default_rng(0)
    samples = [
        {"x": rng.normal(size=(1, 2, 3)).astype(np.float32), "ids": rng.integers(0, 8, (1, 4))}
        for _ in range(3)
    ]
    write_float_ops(
        folder / "program.pt2",
        CONTRACT,
        samples,  # type: ignore[arg-type]  # a list holds all that is used of it
        2,
        StepContext(folder),
    )
    return folder, FloatOps.model_validate_json((folder / RECORD_NAME).read_bytes()), samples


@pytest.fixture
def ops(written: tuple[Path, FloatOps, list[dict]]) -> dict[str, FloatOp]:
    return {op.name: op for op in written[1].ops}


def test_inputs_and_ops_of_floats_are_written_for_so_many_samples(
    written: tuple[Path, FloatOps, list[dict]],
) -> None:
    folder, record, samples = written
    assert record.sample_count == 2
    kinds = [op.type.split(".")[1] for op in record.ops if op.type != "input"]
    assert "argmax" not in kinds
    assert kinds.count("relu") == 2
    first = record.ops[0]
    assert (first.type, first.shape) == ("input", (1, 2, 3))
    for op in record.ops:
        assert np.load(folder / op.file).shape == (2, *op.shape)
    np.testing.assert_array_equal(
        np.load(folder / first.file), np.stack([sample["x"] for sample in samples[:2]])
    )


def test_modules_are_named_as_in_the_model(ops: dict[str, FloatOp]) -> None:
    assert ops["linear"].module == "dense"
    assert ops["embedding"].module == "table"


def test_rearranged_and_repeated_values_have_their_origin(ops: dict[str, FloatOp]) -> None:
    assert ops["transpose"].same_as == "linear"
    assert {op.same_as for op in ops.values() if "view" in op.type or "reshape" in op.type} == {
        "linear"
    }
    relus = [op for op in ops.values() if "relu" in op.type]
    assert {op.same_as for op in relus} == {relus[0].name}
    assert ops["add_1"].same_as == "add_1"  # the sum of integers is "add"


def test_sources_are_seen_through_integers(ops: dict[str, FloatOp]) -> None:
    assert ops["embedding"].sources == ("x",)
    assert ops["linear"].sources == ("x",)
    assert set(ops["add_1"].sources) == {op.name for op in ops.values() if "relu" in op.type}


def test_outputs_of_the_contract_are_known(ops: dict[str, FloatOp]) -> None:
    found = {output: name for name, op in ops.items() for output in op.outputs}
    assert found == {"sum": "add_1", "words": "mul"}
