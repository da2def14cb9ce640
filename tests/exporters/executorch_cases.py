"""Export tiny models in a process of its own, and run what was written.

``python -m tests.exporters.executorch_cases FOLDER [CASE]...`` writes ``FOLDER/<case>/`` with
``model.pte``, its expectation and ``run.npz``, or ``error.json`` where the exporter raised.
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
from mobilesdk.core.form import Form
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.exporters.executorch import PLUGIN as EXPORTER
from mobilesdk.exporters.executorch import ExecuTorchOptions
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module, load_program, save_program
from mobilesdk.graph.summary import summarize
from mobilesdk.lowering.xnnpack.weights import round_weight
from mobilesdk.runtimes.executorch import PLUGIN as RUNTIME

FLOAT = WeightScheme()
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT8_TENSOR = WeightScheme(encoding="linear", bits=8)
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
INT4_BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
STATIC = ActivationScheme(mode="static", bits=8)
PERCENTILE = ActivationScheme(mode="static", bits=8, observer="percentile")
DYNAMIC = ActivationScheme(mode="dynamic", bits=8)


class Convolutions(nn.Module):
    """What MobileNets are made of: ReLU6 behind convolutions, uneven pads, a sum, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(nn.functional.pad(image, (0, 1, 0, 1))))
        y = self.project(nn.functional.relu6(self.depthwise(x)))
        return self.head(nn.functional.relu6(x + y).mean((2, 3)))


class Clamped(nn.Module):
    """A channel of which ReLU6 cuts most of the range off, as in trained networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.stem.weight.data[0] *= 100
        self.project = nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.project(nn.functional.hardtanh(self.stem(image), 0.0, 6.0))  # as nn.ReLU6


class Joined(nn.Module):
    """Everything else with an int8 kernel, and ops without one in between."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.gain = nn.Parameter(torch.linspace(0.5, 2.0, 4).reshape(1, 4, 1, 1))
        self.mix = nn.Linear(16, 16, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.cat([torch.relu(self.left(image)), self.right(image)], 1)
        x = self.up(nn.functional.max_pool2d(x, 2, 2)) * self.gain * 0.5
        x = torch.sigmoid(x) - x[:, :, :, :16].permute(0, 1, 3, 2)
        return self.mix(x).softmax(-1)


class Repeated(nn.Module):
    """One convolution, run on values of very different ranges, and a bias that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.other = nn.Conv2d(8, 8, 1)
        self.other.bias = self.again.bias
        self.again.bias.data.mul_(20)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for _ in range(3):
            x = torch.relu(self.again(x))
        return self.other(x)


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


class Dead(nn.Module):
    """Channels whose weights are all but zero, beside large biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.conv.weight.data[1] *= 1e-9
        self.conv.weight.data[2] = 0.0
        self.conv.bias.data[:] = torch.tensor([0.1, 5.0, -4.0, 0.3])

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class Text(nn.Module):
    """Ids, an embedding, attention, and two results."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 64)
        self.query = nn.Linear(64, 64)
        self.key = nn.Linear(64, 64)
        self.dense = nn.Linear(64, 32)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids)
        query, key = (f(x).view(1, 6, 4, 16).transpose(1, 2) for f in (self.query, self.key))
        scores = (query @ key.transpose(2, 3) + mask[:, None, None, :]).softmax(-1)
        return self.dense(x).mean(1), scores


class Images(nn.Module):
    """An ordinary convolution and a matrix product, rounded at run time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(image)).mean((2, 3)))


class Gated(nn.Module):
    """Squeeze and excite, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.conv(image))
        return x * nn.functional.hardsigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Vector(nn.Module):
    """A table and places added to it, and a division by a norm, which stays float."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Parameter(torch.randn(1, 6, 32))
        self.dense = nn.Linear(32, 16)

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.normalize(self.dense(self.words(ids) + self.places).mean(1))


class Spectrum(nn.Module):
    """Complex numbers, which ExecuTorch has not."""

    def forward(self, wave: Tensor) -> Tensor:
        return torch.fft.rfft(wave).abs()


class Volume(nn.Module):
    """A 3-D convolution, for which no int8 kernel exists."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3)

    def forward(self, volume: Tensor) -> Tensor:
        return self.conv(volume)


@dataclass(frozen=True)
class Case:
    """A model, the schemes of its weights by role, and the options of the target."""

    module: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    weights: dict[str, WeightScheme] = field(default_factory=dict)
    activations: ActivationScheme = field(default_factory=ActivationScheme)
    options: dict[str, Any] = field(default_factory=dict)
    calibrated: bool = True


IMAGE = ((1, 3, 16, 16),)
TEXT = ((1, 6), (1, 6))
ALL_INT8 = dict.fromkeys(("conv", "depthwise", "conv_transpose", "linear", "embedding"), INT8)
CASES = {
    "float": Case(Convolutions, IMAGE),
    "portable": Case(Convolutions, IMAGE, options={"backend": "portable"}),
    "coreml": Case(Convolutions, IMAGE, options={"backend": "coreml"}),
    "coreml32": Case(
        Convolutions, IMAGE, options={"backend": "coreml", "compute_precision": "float32"}
    ),
    "static": Case(Convolutions, IMAGE, ALL_INT8, STATIC),
    "clamped": Case(Clamped, IMAGE, ALL_INT8, STATIC),
    "percentile": Case(Convolutions, IMAGE, ALL_INT8, PERCENTILE),
    "per_tensor": Case(Convolutions, IMAGE, dict.fromkeys(ALL_INT8, INT8_TENSOR), STATIC),
    "joined": Case(Joined, IMAGE, ALL_INT8, STATIC),
    "repeated": Case(Repeated, IMAGE, ALL_INT8, STATIC),
    "pre_activation": Case(PreActivation, IMAGE, ALL_INT8, STATIC),
    "dead": Case(Dead, IMAGE, ALL_INT8, STATIC),
    "dynamic": Case(Images, IMAGE, ALL_INT8, DYNAMIC),
    "text": Case(Text, TEXT),
    "text8": Case(Text, TEXT, ALL_INT8, DYNAMIC),
    "text4": Case(Text, TEXT, {"linear": INT4_BLOCKS, "embedding": INT8}, DYNAMIC),
    "text4_channel": Case(Text, TEXT, {"linear": INT4}, DYNAMIC),
    "gated": Case(Gated, IMAGE, ALL_INT8, STATIC),
    "vector": Case(Vector, ((1, 6),), ALL_INT8, STATIC),
    "spectrum": Case(Spectrum, ((1, 16),)),
    "volume": Case(Volume, ((1, 1, 4, 4, 4),), ALL_INT8, STATIC),
    "uncalibrated": Case(Convolutions, IMAGE, ALL_INT8, STATIC, calibrated=False),
}


class Samples(list[dict[str, np.ndarray]]):
    """Samples in memory."""

    digest = "none"


def main(folder: Path, names: list[str]) -> None:
    """Export the cases into a folder."""
    torch.set_num_threads(1)
    for name in names or CASES:
        output = folder / name
        output.mkdir(parents=True)
        try:
            if name == "vendor":
                export_by_vendor(CASES["clamped"], output)
            else:
                export(CASES[name], output)
        except MobileSDKError as error:
            (output / "error.json").write_text(json.dumps(error.to_json()))


def export(case: Case, output: Path) -> None:
    """Export one case; run the file where this machine can, beside the compressed program."""
    torch.manual_seed(0)
    module = case.module().eval()
    samples = Samples(make_sample(case, seed) for seed in range(8))
    contract = make_contract(module, samples[0])
    model = make_model(module, contract, samples[0], case, output)
    context = StepContext(output=output, calibration=samples if case.calibrated else None)
    artifact = EXPORTER.apply(model, ExecuTorchOptions(**case.options), context)
    (output / "contract.json").write_text(contract.model_dump_json())
    if RUNTIME.refuses(RUNTIME.inspect(artifact.path)):
        return
    session = RUNTIME.load(artifact.path, contract, 1)
    compressed = graph_module(load_program(model.path))
    with torch.no_grad():
        wanted = compressed(*map(torch.from_numpy, samples[1].values()))
    found = session.run(samples[1])
    runs = {f"wanted_{name}": value for name, value in zip(found, wanted, strict=True)}
    runs |= {f"found_{name}": value for name, value in found.items()}
    np.savez(output / "run.npz", **runs, **{f"in_{k}": v for k, v in samples[1].items()})


def export_by_vendor(case: Case, output: Path) -> None:
    """Quantize as the vendor's quantizer does by default, with plain minima and maxima."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as vendor
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    torch.manual_seed(0)
    module = Flat(case.module().eval())
    samples = [torch.from_numpy(make_sample(case, seed)["x"]) for seed in range(8)]
    config = vendor.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = vendor.XNNPACKQuantizer().set_global(config)
    observed = prepare_pt2e(torch.export.export(module, (samples[0],)).module(), quantizer)
    for sample in samples:
        observed(sample)
    program = torch.export.export(convert_pt2e(observed), (samples[0],))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (output / "model.pte").write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(output / "model.pte").load_method("forward")
    with torch.no_grad():
        wanted = module(samples[1])[0].numpy()
    found = method.execute([samples[1]])[0].numpy()
    np.savez(output / "run.npz", wanted_y0=wanted, found_y0=found)


def make_sample(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Give one sample: ids and a mask for the text model, else numbers."""
    generator = np.random.default_rng(seed)
    if case.module is Vector:
        return {"ids": generator.integers(0, 50, case.shapes[0])}
    if case.module is Text:
        mask = np.where(np.arange(6) < 4, 0, -1e4).astype(np.float32)
        return {"ids": generator.integers(0, 50, case.shapes[0]), "mask": mask[None]}
    return {"x": generator.standard_normal(case.shapes[0]).astype(np.float32)}


def make_contract(module: nn.Module, sample: dict[str, np.ndarray]) -> Contract:
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
    )


class Flat(nn.Module):
    """Gives a tuple, as programs do."""

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = prepare(export_program(Flat(module), [*map(torch.from_numpy, sample.values())]))
    summary = summarize(program, contract)
    record = compress(program, summary, case)
    source = output / "source"
    source.mkdir()
    save_program(program, source / "program.pt2")
    (source / "summary.json").write_text(summary.model_dump_json())
    (source / "compression.json").write_text(record.model_dump_json())
    return Model(
        form=Form.EXPORTED_PROGRAM,
        path=source / "program.pt2",
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
        if scheme != FLOAT:
            values = program.state_dict[weight.name].data
            axis = int(weight.role == "conv_transpose")
            values.copy_(round_weight(values, scheme, axis).decoded())
        records.append(
            WeightRecord(**weight.model_dump(exclude={"groups"}), requested=scheme, planned=scheme)
        )
    return CompressionRecord(weights=tuple(records), activations=case.activations)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
