"""Export a small network twice and run it, in a process of its own.

``python -m tests.contract.exporter_worker FORMAT FOLDER`` prints what it saw as a line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.graph.program import export_program
from mobilesdk.graph.records import read_summary
from mobilesdk.plugins import discovery
from mobilesdk.plugins.contract import RuntimeSession
from tests.programs import write_program

SHAPE = (1, 3, 8, 8)


def main(name: str, folder: Path) -> None:
    """Export, compare, run."""
    model = write_model(folder / "model")
    summary = read_summary(model)
    before = tree_hash(folder / "model")
    exporter, runtime = discovery.exporter(name), discovery.runtime(name)
    made = []
    for place in ("once", "again"):
        (folder / place).mkdir()
        made.append(exporter.apply(model, exporter.options(), StepContext(folder / place)))
    expectation = Expectation.model_validate_json(made[0].sidecars["expectation"].read_bytes())
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    given = {"image": image.copy()}
    info = runtime.inspect(made[0].path)
    session = runtime.load(made[0].path, summary.contract, 1)
    outputs = session.run(given)
    seen = {
        "model_changed": tree_hash(folder / "model") != before,
        "same_bytes": tree_hash(folder / "once") == tree_hash(folder / "again"),
        "name": name,
        "form": made[0].form,
        "inspected_format": info.format,
        "suffixes": [made[0].path.suffix, runtime.suffix],
        "weights": sorted(weight.name for weight in summary.weights),
        "expected": sorted(weight.name for weight in expectation.weights),
        "inspected": len(info.weights),
        "input_changed": not np.array_equal(given["image"], image),
        "outputs": {key: [str(value.dtype), value.shape] for key, value in outputs.items()},
        "same_outputs": np.array_equal(outputs["scores"], session.run(given)["scores"]),
        "refused": refusal(session),
    }
    print("RESULT" + json.dumps(seen))


def write_model(folder: Path) -> Model:
    """Write a network of one convolution and one linear layer as the frontend would."""
    folder.mkdir()
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten())
    module = torch.nn.Sequential(*layers, torch.nn.Linear(288, 4)).eval()
    program = export_program(module, [torch.zeros(SHAPE)])
    contract = Contract(
        inputs=(InputSpec(name="image", shape=SHAPE, dtype="float32"),),
        outputs=(OutputSpec(name="scores", shape=(1, 4), dtype="float32"),),
    )
    return write_program(program, contract, folder, "vision")


def refusal(session: RuntimeSession) -> str:
    """Give the code of the error that an input of the wrong shape ends with."""
    try:
        session.run({"image": np.zeros((1, 3, 8, 9), np.float32)})
    except MobileSDKError as error:
        return error.code
    return ""


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
