"""Replay the goldens of a bundle: does an artifact still give what it gave when it was built?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mobilesdk.core.contract import Contract
from mobilesdk.core.step import StepContext
from mobilesdk.errors import FileRejected
from mobilesdk.numerics import metrics
from mobilesdk.plugins import runtime
from mobilesdk.verify.record import REPLAY_NAME, Replay
from mobilesdk.verify.runs import Runs


def replay_goldens(
    runtime_name: str,
    artifact: Path,
    contract: Contract,
    inputs: Path,
    expected: Path,
    context: StepContext,
) -> None:
    """Run the golden inputs through an artifact; write ``replay.json``.

    Raises:
        FileRejected: The goldens are damaged.
        ArtifactInvalid: The artifact does not load or run.
    """
    try:
        stored, golden = load_file(expected), load_file(inputs)
    except (OSError, SafetensorError) as error:
        raise FileRejected(f"The goldens of the bundle cannot be read: {error}") from error
    runs = Runs(runtime(runtime_name).load(artifact, contract, context.threads), contract)
    found = runs.goldens(golden)
    if set(found) != set(stored) or any(found[n].shape != stored[n].shape for n in stored):
        raise FileRejected("The goldens of the bundle are not those of its contract.")
    closeness = {
        name: float(metrics.decibels(*np.sum(metrics.energies(stored[name], found[name]), axis=0)))
        for name in stored
    }
    worst = min(closeness, key=lambda name: (closeness[name], name))
    replay = Replay(
        output=worst,
        sqnr_db=closeness[worst],
        sample_count=runs.count,
        non_finite=runs.first_non_finite,
    )
    (context.output / REPLAY_NAME).write_text(replay.model_dump_json())
