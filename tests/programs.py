"""Programs on disk, as a frontend leaves them."""

from __future__ import annotations

from pathlib import Path

import torch

from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.graph.program import save_program
from mobilesdk.graph.roles import weights


def write_program(
    program: torch.export.ExportedProgram, contract: Contract, folder: Path, family: str = "other"
) -> Model:
    """Write a program and its summary into an empty folder."""
    summary = ModelSummary(
        contract=contract,
        family=family,
        weights=weights(program),
        op_counts={},
        float_size_bytes=0,
    )
    save_program(program, folder / "program.pt2")
    (folder / "summary.json").write_text(summary.model_dump_json())
    return Model(
        form=Form.EXPORTED_PROGRAM,
        path=folder / "program.pt2",
        traits=frozenset({Trait.FOLDED}),
        sidecars={"summary": folder / "summary.json"},
    )
