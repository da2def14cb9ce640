"""Run in a process of its own: export small models with static int8 activations to Core ML.

Usage: ``python coreml_static_worker.py FOLDER SCENARIO...``
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program
from mobilesdk.plugins import compressor, exporter
from tests.programs import write_program


class Convolutions(nn.Module):
    """Every kind of neighbour that an integer convolution can have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, stride=2)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.gated = nn.Conv2d(16, 16, 1)
        self.clamped = nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.offset = nn.Parameter(torch.randn(1, 16, 16, 16))
        self.shift = nn.Parameter(torch.randn(1, 16, 1, 1))
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(nn.functional.pad(image, (0, 1, 0, 1))))
        y = self.depthwise(x) - self.shift + x
        y = nn.functional.max_pool2d(y, 2)
        y = torch.cat([nn.functional.silu(self.gated(y)), self.clamped(y).clamp(-1, 1)], 1)
        y = self.up(y) + self.offset
        return self.head(nn.functional.avg_pool2d(y, 16).flatten(1))


class Products(nn.Module):
    """Matrix products of two activations, and of indices that are no activations."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(50, 32)
        self.query, self.key = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, ids: Tensor, x: Tensor) -> Tensor:
        y = self.table(ids + 1) + x
        return (self.query(y) @ self.key(y).transpose(1, 2)).softmax(-1)


class Scaled(nn.Module):
    """Nothing that Core ML has integers for."""

    def forward(self, image: Tensor) -> Tensor:
        return (image * 2).sigmoid()


@dataclass(frozen=True)
class Memory:
    """A calibration set in memory."""

    samples: tuple[dict[str, np.ndarray], ...]
    digest: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        return iter(self.samples)


def images(scales: list[float]) -> Memory:
    """Give noise; the extremes of a sample are plus and minus its scale."""
    random = np.random.default_rng(1)
    samples = []
    for scale in scales:
        values = random.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
        samples.append({"image": scale * values / np.abs(values).max()})
    return Memory(tuple(samples))


def sentences() -> Memory:
    random = np.random.default_rng(2)
    return Memory(
        tuple(
            {
                "ids": random.integers(0, 49, (1, 6)),
                "x": random.standard_normal((1, 6, 32)).astype(np.float32),
            }
            for _ in range(8)
        )
    )


ORDINARY = [1.0] * 8
# Name → module, calibration set, options, configuration.
SCENARIOS: dict[str, tuple[nn.Module, Memory, dict[str, Any], dict[str, Any]]] = {
    "convolutions": (Convolutions(), images(ORDINARY), {}, {}),
    "first_is_largest": (Convolutions(), images([4.0, *ORDINARY]), {}, {}),
    "percentile": (
        Convolutions(),
        images(ORDINARY),
        {},
        {"activations": {"observer": "percentile"}},
    ),
    "float32": (Convolutions(), images(ORDINARY), {"compute_precision": "float32"}, {}),
    "one_float": (Convolutions(), images(ORDINARY), {}, {"overrides": {"linear": {"bits": 32}}}),
    "products": (Products(), sentences(), {"deployment_target": "iOS18"}, {}),
    "no_integers": (Scaled(), images(ORDINARY), {}, {}),
    "no_samples": (Convolutions(), Memory(()), {}, {"bias_correction": False}),
}


def write_model(module: nn.Module, sample: dict[str, Tensor], folder: Path) -> Model:
    inputs = tuple(sample.values())
    program = prepare(export_program(module.eval(), inputs))
    output = module(*inputs)
    contract = Contract(
        inputs=tuple(
            InputSpec(name=name, shape=tuple(x.shape), dtype=str(x.dtype)[6:])
            for name, x in sample.items()
        ),
        outputs=(OutputSpec(name="y", shape=tuple(output.shape), dtype="float32"),),
    )
    return write_program(program, contract, folder)


def run(name: str, folder: Path) -> None:
    module, samples, options, config = SCENARIOS[name]
    example = next(iter(samples or images(ORDINARY)))
    with torch.no_grad():
        tensors = {key: torch.tensor(value) for key, value in example.items()}
        model = write_model(module, tensors, folder)
        reference = [module(*map(torch.tensor, sample.values())).numpy() for sample in samples]
    np.savez(folder / "reference.npz", *reference)
    compressed = folder / "compressed"
    output = folder / "output"
    compressed.mkdir()
    output.mkdir()
    method, plugin = compressor("quantize_static"), exporter("coreml")
    context = StepContext(output=compressed, calibration=samples)
    model = method.apply(model, method.config(**config), context)
    chosen = plugin.options(**{"deployment_target": "iOS17"} | options)
    plugin.apply(model, chosen, StepContext(output=output, calibration=samples))


def main(root: Path, names: list[str]) -> None:
    warnings.simplefilter("ignore")
    errors = {}
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        try:
            run(name, folder)
        except MobileSDKError as error:
            errors[name] = {"type": type(error).__name__, **error.to_json()}
    (root / "errors.json").write_text(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [*SCENARIOS])
