"""Run in a process of its own: packages that coremltools leaves a fault in without an error.

The last argument is a folder. Writes ``<name>.mlpackage``, and ``original.npz`` with the weights.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk.coreml import load
from mobilesdk.lowering.coreml.convert import import_coremltools
from tests.verify.coreml_faults_net import Net

ct = import_coremltools()
gc.freeze()  # coremltools collects garbage after each conversion

import coremltools.optimize.coreml as cto  # noqa: E402  after what it clashes with is hidden
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from coremltools.optimize.coreml.experimental import _model_debugger  # noqa: E402


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + torch.full((8, 8), torch.finfo(torch.float32).min).triu(1)).softmax(-1)


class MaskedByProduct(nn.Module):
    def forward(self, keep: Tensor) -> Tensor:
        return ((1 - keep) * torch.finfo(torch.float32).min).softmax(-1)


class Squared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (x * x).mean(-1, keepdim=True).sqrt()


class Spread(nn.Module):
    """E[x²] - E[x]²: float16 holds neither well enough where the spread is small."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2


class FloatIds(nn.Module):
    def __init__(self, rows: int, *, joined: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 4)
        self.joined = joined

    def forward(self, ids: Tensor) -> Tensor:
        found = (ids.float() + 0.25).floor().long()
        return self.table(torch.cat([found, ids.long()]) if self.joined else found)


class Cache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(1, 8, 4))
        self.cache: Tensor

    def forward(self, new: Tensor, position: Tensor) -> Tensor:
        self.cache[:, position] = new
        return self.cache.sum(1)


class SlicedPositions(nn.Module):
    """Positions of a longest sequence, cut to each sequence: no constant operand of arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 128, 64))
        self.head = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.positions[:, : x.shape[1]])


_GENERATOR = torch.Generator().manual_seed(0)
IMAGE = (torch.randn(1, 3, 8, 8, generator=_GENERATOR),)
VECTOR = (torch.randn(8, 8, generator=_GENERATOR),)
IDS = (torch.zeros(1, 6, dtype=torch.int32),)


def convert(module: nn.Module, inputs: tuple[Tensor, ...], target: Any = ct.target.iOS18) -> Any:
    program = torch.export.export(module.eval(), inputs).run_decompositions({})
    return ct.convert(program, minimum_deployment_target=target, skip_model_load=True)


def traced_cache() -> Any:
    """Convert a traced module: coremltools loses the write, and exports the same one rightly."""
    example = (torch.ones(1, 1, 4), torch.zeros(1, dtype=torch.int32))
    return ct.convert(
        torch.jit.trace(Cache().eval(), example),
        inputs=[ct.TensorType("new", (1, 1, 4)), ct.TensorType("position", (1,), np.int32)],
        states=[ct.StateType(ct.TensorType(shape=(1, 8, 4), dtype=np.float16), "cache")],
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
    )


def any_length() -> Any:
    length = torch.export.Dim("length", min=2, max=128)
    sample = torch.randn(1, 8, 64, generator=_GENERATOR)
    exported = torch.export.export(
        SlicedPositions().eval(), (sample,), dynamic_shapes={"x": {1: length}}
    ).run_decompositions({})
    return ct.convert(
        exported,
        inputs=[ct.TensorType("x", (1, ct.RangeDim(2, 128, 8), 64))],
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
    )


def linear(model: Any, *kept: str, joint: bool = False, **fields: Any) -> Any:
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(**fields))
    for name in kept:
        config.set_op_name(name, None)
    return cto.linear_quantize_weights(model, config, joint_compression=joint)


def palettize(model: Any, *kept: str, mode: str = "uniform", **fields: Any) -> Any:
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(mode=mode, **fields))
    for name in kept:
        config.set_op_name(name, None)
    return cto.palettize_weights(model, config)


def prune(model: Any, *kept: str, **fields: Any) -> Any:
    config = cto.OptimizationConfig(cto.OpThresholdPrunerConfig(**fields))
    for name in kept:
        config.set_op_name(name, None)
    return cto.prune_weights(model, config)


def first_vectors(weight: Any) -> tuple[Any, Any]:
    """Give a table of 16 vectors of 16 elements, and an index into it for each vector."""
    vectors = weight.reshape(-1, 16)
    return vectors[:16], np.arange(len(vectors)) % 16


def round_activations(model: Any, folder: Path) -> Any:
    """Run coremltools' own calibration, with our executor in the place of a Mac."""
    model.save(str(folder))
    executable = load(folder)

    def predict(
        _self: object, inputs: dict[str, Any], names: Iterable[str], _units: object
    ) -> dict[str, Any]:
        found = executable.intermediates(inputs)
        return {name: found[name] for name in names if name in found}

    _model_debugger.ModelDebugger.predict_intermediate_outputs = predict
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(mode="linear_symmetric"))
    return cto.linear_quantize_activations(model, config, [{"image": 3 * IMAGE[0].numpy()}])


def clamped(zero_point: int, scales: list[float]) -> Any:
    """Give a package that rounds each channel of a convolution by its own scale, then clips it."""
    scale = np.array(scales, np.float32)
    levels = {"scale": scale, "zero_point": np.full(len(scales), zero_point, np.int8), "axis": 1}
    weight = np.random.default_rng(0).normal(size=(len(scales), 3, 1, 1)).astype(np.float32)

    def build(x: Any) -> Any:
        rounded = mb.quantize(input=mb.conv(x=x, weight=weight), output_dtype="int8", **levels)
        return mb.clip(x=mb.dequantize(input=rounded, **levels), alpha=0.0, beta=6.0)

    target = ct.target.iOS17
    specs = [mb.TensorSpec(shape=(1, 3, 8, 8))]
    program = mb.program(input_specs=specs, opset_version=target)(build)
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        skip_model_load=True,
    )


def with_a_head(places: slice, value: float) -> Net:
    """Give a network with weights so small that float16 rounds their scale to zero."""
    net = Net()
    with torch.no_grad():
        net.head.weight[places] = value
    return net


def operand(model: Any) -> str:
    """Give the name of the constant that is added."""
    return next(
        name
        for name, value in cto.get_weights_metadata(model, weight_threshold=2048).items()
        if any(op.op_type == "add" for op in value.child_ops)
    )


def main(folder: Path) -> None:
    net = Net()
    model, older = convert(net, IMAGE), convert(net, IMAGE, ct.target.iOS17)
    positions = operand(model)
    groups = {"granularity": "per_grouped_channel", "group_size": 16}
    whole, wide = 6 / 255, 12 / 255
    half = cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=2048)
    made = {
        "clean": model,
        "clean_int8": linear(model, positions, mode="linear_symmetric"),
        "clean_palette6": palettize(model, positions, nbits=6),
        "clean_sparse": prune(model, positions, threshold=0.06, minimum_sparsity_percentile=0.1),
        "unpruned": cto.prune_weights(model, cto.OptimizationConfig(half)),
        "skipped_blocks": linear(
            model, positions, dtype="int4", granularity="per_block", block_size=32
        ),
        "skipped_groups": palettize(model, positions, nbits=4, **groups),
        "changed": palettize(model, positions, nbits=4, enable_per_channel_scale=True, **groups),
        "outgrown": palettize(
            model, positions, nbits=8, granularity="per_grouped_channel", group_size=1
        ),
        "without_scale": linear(
            convert(with_a_head(slice(None), 2e-6), IMAGE), positions, mode="linear_symmetric"
        ),
        "dead_channel": linear(
            convert(with_a_head(slice(9, 10), 2e-6), IMAGE), positions, mode="linear_symmetric"
        ),
        "operand": linear(model, mode="linear_symmetric"),
        "sliced": any_length(),
        "sliced_int8": linear(any_length(), mode="linear_symmetric"),
        "sliced_palette4": palettize(any_length(), nbits=4),
        "underflown": convert(with_a_head(slice(None), 2e-6), IMAGE),
        "vanished": convert(with_a_head(slice(None), 1e-9), IMAGE),
        "unpruned_int8": linear(
            cto.prune_weights(model, cto.OptimizationConfig(half)),
            joint=True,
            mode="linear_symmetric",
        ),
        "sparse_int8": linear(
            prune(model, positions, threshold=0.06, minimum_sparsity_percentile=0.1),
            positions,
            joint=True,
            mode="linear_symmetric",
        ),
        "skipped_vectors": palettize(
            model, positions, mode="custom", lut_function=first_vectors, cluster_dim=16
        ),
        "channels_before_clamp": clamped(-128, [whole, whole, wide, whole]),
        "channels_within_clamp": clamped(-128, [whole] * 4),
        "before_clamp": round_activations(older, folder / "float.mlpackage"),
        "masked": convert(Masked(), VECTOR),
        "infinite": convert(MaskedByProduct(), VECTOR),
        "overflow": convert(Squared(), VECTOR),
        "spread": convert(Spread(), VECTOR),
        "float_ids": convert(FloatIds(70_000), IDS),
        "joined_float_ids": convert(FloatIds(70_000, joined=True), IDS),
        "lost_write": traced_cache(),
        "kept_write": convert(Cache(), (torch.ones(1, 1, 4), torch.zeros(1, dtype=torch.int64))),
        "few_float_ids": convert(FloatIds(2_000), IDS),
    }
    for name, package in made.items():
        package.save(str(folder / f"{name}.mlpackage"))
    weights = {name: value.numpy() for name, value in net.state_dict().items() if value.ndim > 1}
    np.savez(folder / "original.npz", **weights)


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
