"""Packages run by the reference executor, compared with what torch gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.parity.distance import Distance, distance, fault
from benchmarks.parity.packages import names
from benchmarks.parity.reference import Outputs, load_samples
from mobilesdk.coreml import load
from mobilesdk.errors import MobileSDKError


def run(folder: Path) -> dict[str, Distance]:
    """Run every package of a folder on its samples; give the distances by name of the package."""
    samples, expected = load_samples(folder / "samples.npz"), load_samples(folder / "expected.npz")
    found = {}
    for name in names():
        path = folder / f"{name}.mlpackage"
        if path.exists():
            try:
                found[name] = distance(expected, predict(path, samples))
            except MobileSDKError as error:
                found[name] = fault(" ".join(error.message.split()))
    return found


def predict(path: Path, samples: Outputs) -> Outputs:
    """Run a package on samples in turn; if it has states, they last from one to the next."""
    model = load(path)
    states: Any = model.new_states()
    results = [
        model.predict(dict(zip(model.input_names, sample, strict=True)), states=states)
        for sample in samples
    ]
    return [[result[name] for name in model.output_names] for result in results]
