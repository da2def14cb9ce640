"""Check that a program does what a model does in the framework that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from mobilesdk.graph.program import graph_module

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Takes leaf tensors in the contract's order, and gives the outputs in its order."""


def check_run(
    run: Run,
    inputs: Leaves,
    program: torch.export.ExportedProgram,
    contract: Contract,
    seed: int,
) -> None:
    """Compare a program with its framework on the example and on random inputs.

    An output passes as in `check_fidelity`: with 80 dB, or 6 dB below the network's own floor.

    Args:
        run: What the framework does.
        inputs: The example inputs.
        program: Exported from the module that was written for the framework's model.
        contract: Of the model.
        seed: Of random inputs.

    Raises:
        ArtifactInvalid: An output differs by more than rounding.
    """
    module = graph_module(program)
    for given in judged_inputs(contract, inputs.tensors, seed):
        expected = run(given)
        if not all(bool(torch.isfinite(each).all()) for each in expected):
            continue
        found = run_seeded(module, given, seed)
        for place, (true, seen) in enumerate(zip(expected, found, strict=True)):
            reached_db = distance_db(true, seen)
            if reached_db >= ENOUGH_DB:
                continue
            allowed_db = allowed_distance_db(program, given, place, seed)
            if reached_db < allowed_db:
                raise ArtifactInvalid(
                    "The program that was made of the model differs from what its framework "
                    f"computes: output {contract.outputs[place].name!r} at {reached_db:.1f} dB, "
                    f"where its own float32 rounding allows {allowed_db:.1f} dB.",
                    hint="this is a fault of mobilesdk: please report it with the model.",
                )
