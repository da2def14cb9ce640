"""EfficientNet-Lite0 to a static int8 ``.pte`` and back, on photos that installed packages carry.

``python -m tests.exporters.executorch_photos FOLDER`` prints what it measured as a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from examples import photos
from mobilesdk.compressors.quantize_static import PLUGIN as COMPRESSOR
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.step import StepContext
from mobilesdk.data.ingest import ingest
from mobilesdk.exporters.executorch import PLUGIN as EXPORTER
from mobilesdk.exporters.executorch import ExecuTorchOptions
from mobilesdk.frontends.torch import PLUGIN as FRONTEND
from mobilesdk.graph.program import graph_module, load_program
from mobilesdk.numerics.metrics import sqnr_db, top_k_agreement
from mobilesdk.runtimes.executorch import PLUGIN as RUNTIME
from mobilesdk.verify.ledger import build_ledger


def main(folder: Path) -> None:
    """Build, reload from disk, compare with the float model."""
    torch.set_num_threads(1)
    steps = {name: folder / name for name in ("read", "compressed", "exported")}
    for step in steps.values():
        step.mkdir()
    photos.write(folder / "photos")
    model = FRONTEND.read("examples.efficientnet_lite0:build", None, StepContext(steps["read"]))
    contract = ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes()).contract
    sets = {}
    for name in ("calibration", "evaluation"):
        (folder / name).mkdir()
        sets[name] = ingest(folder / "photos" / name, contract, folder / name)
    calibration = sets["calibration"]
    config = COMPRESSOR.config.model_validate({"activations": {"observer": "percentile"}})
    context = StepContext(steps["compressed"], calibration=calibration)
    compressed = COMPRESSOR.apply(model, config, context)
    context = StepContext(steps["exported"], calibration=calibration)
    artifact = EXPORTER.apply(compressed, ExecuTorchOptions(), context)
    info = RUNTIME.inspect(artifact.path)
    expectation = Expectation.model_validate_json(artifact.sidecars["expectation"].read_bytes())
    session = RUNTIME.load(artifact.path, contract, 1)
    original = graph_module(load_program(steps["read"] / "original.pt2"))
    wanted, found = [], []
    for sample in islice(sets["evaluation"], 48):
        with torch.no_grad():
            wanted.append(original(torch.from_numpy(sample["image"].copy()))[0].numpy())
        found.append(session.run(sample)["logits"])
    reference, result = np.concatenate(wanted), np.concatenate(found)
    measured = {
        "size_bytes": info.size_bytes,
        "delegates": info.delegates,
        "outside": [op.type for op in info.ops if not op.delegate],
        "float_ops": Counter(op.type for op in info.ops if op.dtype == "float32"),
        "different": [entry.name for entry in build_ledger(expectation, info).different],
        "sqnr_db": sqnr_db(reference, result),
        "top1_agreement": float(top_k_agreement(reference, result, 1).mean()),
    }
    print("RESULT" + json.dumps(measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
