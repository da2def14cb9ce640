"""Export tiny models in a process of its own: litert-torch must not meet coremltools in one.

``python -m tests.exporters.litert_cases FOLDER`` writes ``FOLDER/<case>/`` with the artifact, its
expectation, inputs and outputs, or ``error.json`` where the exporter raised.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.exporters.litert import PLUGIN as EXPORTER
from mobilesdk.exporters.litert import LiteRTOptions
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import graph_module, save_program
from mobilesdk.graph.summary import summarize
from mobilesdk.lowering.litert.matching import rounded
from mobilesdk.runtimes.litert import PLUGIN as RUNTIME

FLOAT = WeightScheme()
HALF = WeightScheme(bits=16)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT8_TENSOR = WeightScheme(encoding="linear", bits=8)
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
INT4_BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
STATIC = ActivationScheme(mode="static", bits=8)
STATIC16 = ActivationScheme(mode="static", bits=16)
DYNAMIC = ActivationScheme(mode="dynamic", bits=8)


class Convolutions(nn.Module):
    """Convolutions as in MobileNet, with the activations that have to be fused into them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(image))
        x = nn.functional.relu6(self.depthwise(x))
        return self.head(self.project(x).mean((2, 3)))


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


class TwoInTwoOut(nn.Module):
    """Two inputs, two outputs, and a division by a value of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(32, 16)
        self.right = nn.Linear(32, 16)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.left(a), self.right(a) / (b[:, :16].abs() + 1)


class Text(nn.Module):
    """Ids, an embedding, a layer norm in front of a linear layer, and two constants added."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Parameter(torch.randn(1, 6, 32))
        self.kinds = nn.Parameter(torch.randn(1, 6, 32))
        self.norm = nn.LayerNorm(32)
        self.dense = nn.Linear(32, 64)
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        nn.init.normal_(self.norm.bias)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dense(self.norm(self.words(ids) + self.places + self.kinds)).mean(1)


class Nearest(nn.Module):
    """Resizing by ratios of which the converter gets one wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(image)
        return (
            nn.functional.interpolate(x, size=(7, 12), mode="nearest"),
            nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
        )


class Transposed(nn.Module):
    """A transposed convolution whose padding TRANSPOSE_CONV cannot express."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.up(image)


class Pooled(nn.Module):
    """Max pools of negative values with padding, and one that rounds its size up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv(image) - 3
        return (
            nn.functional.max_pool2d(x, 3, stride=2, padding=1),
            nn.functional.max_pool2d(x[:, :, :11], (5, 4), stride=3, padding=2),
            nn.functional.max_pool2d(x, 3, stride=2, ceil_mode=True),
        )


class Antialias(nn.Module):
    """Resizing that LiteRT has not."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.interpolate(image, size=(5, 5), mode="bilinear", antialias=True)


class Counter(nn.Module):
    """A buffer that the model writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return x + self.count


@dataclass(frozen=True)
class Case:
    """A model, the schemes of its weights by role, and the options of the target."""

    module: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    weights: dict[str, WeightScheme] = field(default_factory=dict)
    activations: ActivationScheme = field(default_factory=ActivationScheme)
    options: dict[str, Any] = field(default_factory=dict)


IMAGE = ((1, 3, 16, 16),)
PAIR = ((1, 32), (1, 32))
ALL_INT8 = {"conv": INT8, "depthwise": INT8, "linear": INT8, "embedding": INT8}
CASES = {
    "float": Case(Convolutions, IMAGE),
    "half": Case(Convolutions, IMAGE, dict.fromkeys(ALL_INT8, HALF)),
    "weights8": Case(Convolutions, IMAGE, ALL_INT8),
    "weights4": Case(Convolutions, IMAGE, {"conv": INT4, "depthwise": INT8, "linear": INT4}),
    "mixed": Case(Convolutions, IMAGE, {"conv": INT8_TENSOR, "linear": INT8}, DYNAMIC),
    "static": Case(Convolutions, IMAGE, ALL_INT8, STATIC),
    "static_partial": Case(Convolutions, IMAGE, {"conv": INT8, "linear": INT8}, STATIC),
    "static16": Case(Convolutions, IMAGE, ALL_INT8, STATIC16),
    "static_int_io": Case(Convolutions, IMAGE, ALL_INT8, STATIC, {"float_io": False}),
    "pre_activation": Case(PreActivation, IMAGE, ALL_INT8, STATIC),
    "two_static": Case(TwoInTwoOut, PAIR, ALL_INT8, STATIC),
    "text_blocks": Case(Text, ((1, 6),), {"linear": INT4_BLOCKS, "embedding": INT8}, DYNAMIC),
    "text_nnapi": Case(Text, ((1, 6),), ALL_INT8, STATIC, {"op_set": "nnapi"}),
    "nearest": Case(Nearest, ((1, 3, 3, 4),)),
    "nearest_nnapi": Case(Nearest, ((1, 3, 3, 4),), options={"op_set": "nnapi"}),
    "transposed": Case(Transposed, ((1, 3, 5, 5),), {"conv_transpose": INT8}),
    "pooled": Case(Pooled, IMAGE),
    "pooled_static": Case(Pooled, IMAGE, ALL_INT8, STATIC),
    "antialias": Case(Antialias, IMAGE),
    "mutable": Case(Counter, ((1, 4),)),
}


class Samples(list[dict[str, np.ndarray]]):
    """Samples in memory."""

    digest = "none"


def main(folder: Path, names: list[str]) -> None:
    """Export the cases into a folder."""
    for name in names or CASES:
        output = folder / name
        output.mkdir(parents=True)
        try:
            export(CASES[name], output)
        except MobileSDKError as error:
            (output / "error.json").write_text(json.dumps(error.to_json()))


def export(case: Case, output: Path) -> None:
    """Export one case, run the file, and write inputs and outputs beside it."""
    torch.manual_seed(0)
    module = case.module().eval()
    samples = Samples(make_inputs(case, seed) for seed in range(8))
    contract = make_contract(module, samples[0])
    model = make_model(module, contract, samples[0], case, output)
    context = StepContext(output=output, calibration=samples)
    artifact = EXPORTER.apply(model, LiteRTOptions(**case.options), context)
    session = RUNTIME.load(artifact.path, contract, 1)
    compressed = graph_module(torch.export.load(model.path))
    for position, sample in enumerate(samples[:2]):
        with torch.no_grad():
            wanted = compressed(*map(torch.from_numpy, sample.values()))
        names = [spec.name for spec in contract.outputs]
        np.savez(
            output / f"run{position}.npz",
            **{f"wanted_{name}": value.numpy() for name, value in zip(names, wanted, strict=True)},
            **{f"found_{name}": value for name, value in session.run(sample).items()},
        )


def make_inputs(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Give one sample: ids for the text model, else numbers."""
    generator = np.random.default_rng(seed)
    if case.module is Text:
        return {"ids": generator.integers(0, 50, case.inputs[0])}
    return {
        f"x{position}": generator.standard_normal(shape).astype(np.float32)
        for position, shape in enumerate(case.inputs)
    }


def make_contract(module: nn.Module, sample: dict[str, np.ndarray]) -> Contract:
    """Describe inputs and outputs by running the module."""
    with torch.no_grad():
        outputs = module(*map(torch.from_numpy, sample.values()))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return Contract(
        inputs=tuple(
            InputSpec(name=name, shape=value.shape, dtype=str(value.dtype))
            for name, value in sample.items()
        ),
        outputs=tuple(
            OutputSpec(name=f"y{position}", shape=tuple(value.shape), dtype="float32")
            for position, value in enumerate(outputs)
        ),
    )


class Flat(nn.Module):
    """Gives a tuple, as prepared programs do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)


def make_model(
    module: nn.Module, contract: Contract, sample: dict[str, np.ndarray], case: Case, output: Path
) -> Model:
    """Write what a frontend and a compressor would: program, summary, record."""
    inputs = tuple(map(torch.from_numpy, sample.values()))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Flat(module), inputs).run_decompositions({})
    if not program.graph_signature.buffers_to_mutate:
        program = prepare(program)
    summary = summarize(program, contract)
    source = output / "source"
    source.mkdir()
    record = compress(program, summary, case)
    save_program(program, source / "program.pt2")
    (source / "summary.json").write_text(summary.model_dump_json())
    (source / "compression.json").write_text(record.model_dump_json())
    return Model(
        form=Form.EXPORTED_PROGRAM,
        path=source / "program.pt2",
        traits=frozenset({Trait.FOLDED}),
        sidecars={
            "summary": source / "summary.json",
            "compression": source / "compression.json",
        },
    )


def compress(
    program: torch.export.ExportedProgram, summary: ModelSummary, case: Case
) -> CompressionRecord:
    """Put the weights on their grids and say so."""
    records = []
    for weight in summary.weights:
        scheme = case.weights.get(weight.role, FLOAT)
        values = program.state_dict[weight.name].detach().numpy()
        axis = 1 if weight.role == "conv_transpose" else 0
        if scheme.granularity == "per_channel" and axis:
            rows = np.ascontiguousarray(np.moveaxis(values, axis, 0))
            on_grid = np.moveaxis(rounded(rows, scheme, 0).reshape(rows.shape), 0, axis)
        else:
            on_grid = rounded(values, scheme, 0).reshape(values.shape)
        program.state_dict[weight.name].data.copy_(torch.from_numpy(on_grid.copy()))
        records.append(
            WeightRecord(
                name=weight.name,
                role=weight.role,
                shape=weight.shape,
                requested=scheme,
                planned=scheme,
            )
        )
    return CompressionRecord(weights=tuple(records), activations=case.activations)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
