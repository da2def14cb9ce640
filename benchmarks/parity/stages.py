"""The stages of a comparison: each runs in a process of its own and gives what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.parity import coreai, execution, packages, reference
from benchmarks.parity.cases import CASES
from benchmarks.parity.distance import Distance, distance, fault


def convert(name: str, folder: Path) -> dict[str, str]:
    """Write the packages; give what did not convert."""
    return packages.write(CASES[name], folder)


def execute(_name: str, folder: Path) -> dict[str, Distance]:
    """Run the packages."""
    return execution.run(folder)


def apple(name: str, folder: Path) -> dict[str, Distance]:
    """Run the network in Core AI; give how far torch and the float32 package are from it."""
    module, samples = CASES[name].build()
    arrays = reference.load_samples(folder / "samples.npz")
    try:
        program = torch.export.export(module.requires_grad_(False), samples[0])
        found = coreai.predict(coreai.write(program, folder / "model.aimodel"), arrays)
    except packages.TOOL_ERRORS as error:
        return {"torch": fault(f"{type(error).__name__}: {' '.join(str(error).split())}")}
    expected = reference.load_samples(folder / "expected.npz")
    ours = execution.predict(folder / "iOS18-float32.mlpackage", arrays)
    return {"torch": distance(expected, found), "executor": distance(found, ours)}


def compress(name: str, folder: Path) -> dict[str, Any]:
    """Compress the network by every scheme and write the packages."""
    from benchmarks.parity import compressed

    compressed.write(name, folder / "compressed")
    return {}


def compressed(_name: str, folder: Path) -> dict[str, Any]:
    """Compare the compressed packages with Core AI on the same weights."""
    from benchmarks.parity import compressed as each

    return {scheme: each.compare(folder / "compressed", scheme) for scheme in each.SCHEMES}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Compute samples, expected outputs and floors with torch."""
    return reference.write(CASES[name], folder)


STAGES: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "reference": measure,
    "convert": convert,
    "execute": execute,
    "coreai": apple,
}
COMPRESSED_STAGES: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "compress": compress,
    "compressed": compressed,
}
COMPRESSED_MODELS = ("convnext_atto", "efficientnet_lite0", "minilm")
