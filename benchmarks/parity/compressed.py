"""The same compressed weights in a Core ML package and in an ``.aimodel``.

mobilesdk compresses a network and exports it. The integers, scales and tables of its weights go
into the operations by which Core AI stores compressed weights, so both files hold the same ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.parity import coreai, execution
from benchmarks.parity.distance import distance
from benchmarks.parity.reference import load_samples
from mobilesdk.core.scheme import CompressionRecord
from mobilesdk.core.step import StepContext
from mobilesdk.graph.program import graph_module, load_program
from mobilesdk.lowering.coreai.weights import compress_weights
from mobilesdk.plugins import compressor, exporter, frontend

MODELS = {
    "efficientnet_lite0": "examples.efficientnet_lite0:build",
    "minilm": "examples.minilm:build",
    "convnext_atto": "benchmarks.parity.cases:convnext_atto",
}
_GROUPS = {"bits": 4, "granularity": "per_group", "group_size": 16}
_BLOCKS = {"bits": 4, "granularity": "per_block", "block_size": 32}
SCHEMES: dict[str, tuple[str, dict[str, Any]]] = {
    "palette6": ("palettize", {"bits": 6}),
    "palette4-group16": ("palettize", _GROUPS),
    "int8-channel": ("quantize_weights", {"bits": 8}),
    "int4-block32": ("quantize_weights", _BLOCKS),
}


def write(name: str, folder: Path) -> None:
    """Write program, record and package of every scheme, in a folder each."""
    source = frontend("torch").read(MODELS[name], None, StepContext(_made(folder / "source")))
    export = exporter("coreml")
    options = export.options(compute_precision="float32", deployment_target="iOS18")
    for scheme, (method, weights) in SCHEMES.items():
        place = _made(folder / scheme)
        plugin = compressor(method)
        config = plugin.config(weights=weights, bias_correction=False)
        model = plugin.apply(source, config, StepContext(place))
        export.apply(model, options, StepContext(place))


def compare(folder: Path, scheme: str) -> dict[str, Any]:
    """Run both files on the samples of the network; give their distance, and what they hold."""
    place = folder / scheme
    samples = load_samples(folder.parent / "samples.npz")
    program = load_program(place / "program.pt2")
    record = CompressionRecord.model_validate_json((place / "compression.json").read_bytes())
    module, count = with_compressed_weights(program, record)
    asset = coreai.write(exported(module, program), place / "model.aimodel")
    apple = coreai.predict(asset, samples)
    reference = execution.predict(place / "model.mlpackage", samples)
    return {
        "between": distance(apple, reference),
        "to_float": distance(load_samples(folder.parent / "expected.npz"), reference),
        "compressed": count,
        "weights": len(record.weights),
        "package_bytes": _size(place / "model.mlpackage"),
        "aimodel_bytes": _size(place / "model.aimodel"),
    }


def with_compressed_weights(
    program: torch.export.ExportedProgram, record: CompressionRecord
) -> tuple[torch.fx.GraphModule, int]:
    """Have Core AI's operations make the compressed weights; give the module and their number."""
    module = graph_module(program)
    compress_weights(module, record.weights, in_half=False)
    return module, sum(weight.planned.encoding != "float" for weight in record.weights)


def exported(
    module: torch.fx.GraphModule, program: torch.export.ExportedProgram
) -> torch.export.ExportedProgram:
    """Export a changed module with the example inputs of the program that it came from."""
    inputs, _ = program.example_inputs
    return torch.export.export(module, inputs)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
