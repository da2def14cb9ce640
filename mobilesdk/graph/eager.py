"""Check that an exported program does what its module does, call after call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mobilesdk.core.contract import Contract
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.graph.fidelity import (
    ENOUGH_DB,
    allowed_distance_db,
    distance_db,
    judged_inputs,
    run_seeded,
)
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.module import step_module
from mobilesdk.graph.program import graph_module


def check_export(
    module: torch.nn.Module,
    inputs: Leaves,
    program: torch.export.ExportedProgram,
    contract: Contract,
    seed: int,
) -> None:
    """Compare a module with its program on the example and on random inputs, as one sequence.

    Inputs have all sizes that are judged, the smallest and the largest among them.

    Why: what Python computes becomes a constant of the program: a position that is counted in an
    attribute, say. Such a program is right in its first call only, and all later figures would be
    distances from the wrong thing.

    Args:
        module: Its states are zeros; changed by the calls.
        inputs: The example inputs.
        program: Functional: exported from the module.
        contract: Of the model.
        seed: Of random inputs and ops.

    Raises:
        InvalidModel: The module does not run on the inputs.
        ArtifactInvalid: An output differs by more than rounding.
    """
    functional = graph_module(program)
    states: Sequence[Tensor] = program.example_inputs[0][len(inputs.tensors) :]
    for call, given in enumerate(judged_inputs(contract, inputs.tensors, seed), start=1):
        torch.manual_seed(seed)
        expected = step_module(module, inputs.holding(given)).tensors
        flat = (*given, *states)
        found = run_seeded(functional, flat, seed)
        states = found[len(expected) :]
        if not all(bool(torch.isfinite(each).all()) for each in expected):
            continue
        for place, (true, seen) in enumerate(zip(expected, found, strict=False)):
            reached_db = distance_db(true, seen)
            if reached_db >= ENOUGH_DB:
                continue
            if reached_db < allowed_distance_db(program, flat, place, seed):
                raise ArtifactInvalid(
                    f"The exported program differs from the module in call {call} of a sequence, "
                    f"with inputs of {_told(given)}: output {contract.outputs[place].name!r} at "
                    f"{reached_db:.1f} dB.",
                    hint="torch.export makes constants of Python numbers that change from call to "
                    "call: keep a position as an input or in a buffer, not in an attribute, and "
                    "write buffers in place (copy_, add_).",
                )


def _told(inputs: Sequence[Tensor]) -> str:
    return ", ".join(str(list(leaf.shape)) for leaf in inputs)
