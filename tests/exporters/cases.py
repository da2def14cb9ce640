"""What the cases of an exporter have in common; runs in a process of its own.

A case is a tiny model, the schemes that its weights are put into, and the options of a target. Each
goes to ``FOLDER/<case>/``: the artifact, its expectation, what the compressed program and the file
gave for two samples (``run0.npz``, ``run1.npz``), or ``error.json`` where the exporter raised.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.core.sizes import judged_sizes
from mobilesdk.core.step import StepContext
from mobilesdk.data.resizing import resized
from mobilesdk.errors import MobileSDKError
from mobilesdk.graph.dimensions import with_varying_outputs
from mobilesdk.graph.encoding import encode, with_zeros
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module, load_program, tensors_by_name
from mobilesdk.graph.records import read_summary
from mobilesdk.graph.roles import weights
from mobilesdk.graph.symbols import contract_shapes
from mobilesdk.plugins import Exporter, Runtime
from tests.programs import write_program

Shapes = tuple[tuple[int, ...], ...]
Arrays = dict[str, NDArray[Any]]

FLOAT = WeightScheme()
HALF = WeightScheme(bits=16)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT8_TENSOR = WeightScheme(encoding="linear", bits=8)
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
INT4_BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
ALL_INT8 = dict.fromkeys(("conv", "depthwise", "conv_transpose", "linear", "embedding"), INT8)
STATIC = ActivationScheme(mode="static", bits=8)
STATIC16 = ActivationScheme(mode="static", bits=16)
PERCENTILE = ActivationScheme(mode="static", bits=8, observer="percentile")
DYNAMIC = ActivationScheme(mode="dynamic", bits=8)
IMAGE = ((1, 3, 16, 16),)

_SAMPLES = 8
_RUNS = 2


def numbers(generator: np.random.Generator, shapes: Shapes) -> Arrays:
    """Draw one array of numbers for each shape."""
    return {
        f"x{place}": generator.standard_normal(shape).astype(np.float32)
        for place, shape in enumerate(shapes)
    }


def ids(generator: np.random.Generator, shapes: Shapes) -> Arrays:
    """Draw ids of a vocabulary of 50."""
    return {"ids": generator.integers(0, 50, shapes[0])}


@dataclass(frozen=True)
class Case:
    """A model, the schemes of its weights by role, and the options of the target."""

    module: Callable[[], nn.Module]
    shapes: Shapes
    weights: Mapping[str, WeightScheme] = field(default_factory=dict)
    activations: ActivationScheme = field(default_factory=ActivationScheme)
    options: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[np.random.Generator, Shapes], Arrays] = numbers
    calibrated: bool = True
    dimensions: tuple[Dimension, ...] = ()

    def make(self) -> nn.Module:
        """Give the module; the same weights each time."""
        torch.manual_seed(0)
        return self.module().eval()

    def samples(self) -> Samples:
        """Draw its samples; the same ones each time."""
        return Samples(
            self.draw(np.random.default_rng(seed), self.shapes) for seed in range(_SAMPLES)
        )


class Samples(list[Arrays]):
    """Samples in memory."""

    digest = "none"


class Flat(nn.Module):
    """Gives a tuple, as programs do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)


class PreActivation(nn.Module):
    """Batch norms that no convolution takes in: at the input, before a clamp, behind a join."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.joined = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 10)
        for norm in (self.first, self.second, self.joined):
            nn.init.normal_(norm.running_mean, std=0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 2.0)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv(self.first(image))
        y = x + self.inner(torch.relu(self.second(x)))
        return self.head(torch.relu(self.joined(torch.cat([x, y], 1))).mean((2, 3)))


def export_all(cases: Mapping[str, Callable[[Path], None]], folder: Path, names: list[str]) -> None:
    """Export the named cases, or all, each into a folder of its own."""
    torch.set_num_threads(1)
    for name in names or cases:
        output = folder / name
        output.mkdir(parents=True)
        try:
            cases[name](output)
        except MobileSDKError as error:
            (output / "error.json").write_text(json.dumps(error.to_json()))


def export(case: Case, exporter: Exporter, runtime: Runtime, output: Path) -> None:
    """Export one case; run the file where this machine can, beside the compressed program."""
    module, samples = case.make(), case.samples()
    contract = _contract(module, samples[0], case.dimensions)
    model = _compressed(module, contract, samples[0], case, output / "source")
    context = StepContext(output=output, calibration=samples if case.calibrated else None)
    artifact = exporter.apply(model, exporter.options(**case.options), context)
    if runtime.refuses(runtime.inspect(artifact.path)):
        return
    contract = read_summary(model).contract
    session = runtime.load(artifact.path, contract, 1)
    compressed = graph_module(load_program(model.path))
    runs = [
        resized(sample, contract, sizes)
        for sample in samples[:_RUNS]
        for sizes in judged_sizes(contract) or ({},)
    ]
    for place, sample in enumerate(runs):
        with torch.no_grad():
            wanted = compressed(*map(torch.from_numpy, sample.values()))
        write_run(output, place, [value.numpy() for value in wanted], session.run(sample))


def write_run(
    output: Path, place: int, wanted: list[NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> None:
    """Write what was wanted and found for one sample, by the names ``y0``, ``y1``, …"""
    np.savez(
        output / f"run{place}.npz",
        **{f"wanted_y{number}": value for number, value in enumerate(wanted)},
        **{f"found_{name}": value for name, value in found.items()},
    )


def _contract(
    module: nn.Module, sample: Arrays, dimensions: tuple[Dimension, ...] = ()
) -> Contract:
    """Describe inputs and outputs by running the module."""
    with torch.no_grad():
        outputs = Flat(module)(*map(torch.from_numpy, sample.values()))
    return Contract(
        inputs=tuple(
            InputSpec(name=name, shape=value.shape, dtype=str(value.dtype))
            for name, value in sample.items()
        ),
        outputs=tuple(
            OutputSpec(name=f"y{place}", shape=tuple(value.shape), dtype="float32")
            for place, value in enumerate(outputs)
        ),
        dimensions=dimensions,
    )


def _compressed(
    module: nn.Module, contract: Contract, sample: Arrays, case: Case, folder: Path
) -> Model:
    """Write what a frontend and a compressor would: program, summary, record."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = [*map(torch.from_numpy, sample.values())]
        program = export_program(Flat(module), inputs, contract_shapes(contract))
        if not program.graph_signature.buffers_to_mutate:
            program = prepare(program)
    folder.mkdir()
    record = _put_on_grids(program, case)
    model = write_program(program, with_varying_outputs(contract, program), folder)
    path = folder / "compression.json"
    path.write_text(record.model_dump_json())
    return model.model_copy(update={"sidecars": {**model.sidecars, "compression": path}})


def _put_on_grids(program: torch.export.ExportedProgram, case: Case) -> CompressionRecord:
    """Round the weights as a compressor would, and say so."""
    records = []
    for weight in weights(program):
        scheme = case.weights.get(weight.role, FLOAT)
        record = WeightRecord(
            **weight.model_dump(exclude={"groups"}), requested=scheme, planned=scheme
        )
        values = tensors_by_name(program)[weight.name].data
        values.copy_(encode(with_zeros(values, record, FLOAT), record, FLOAT))
        records.append(record)
    return CompressionRecord(weights=tuple(records), activations=case.activations)
