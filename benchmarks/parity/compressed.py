"""The same compressed weights in a Core ML package and in an ``.aimodel``.

mobilesdk compresses a network and exports it. The integers, scales and tables of its weights go
into the operations by which Core AI stores compressed weights, so both files hold the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.parity import coreai, execution
from benchmarks.parity.distance import distance
from benchmarks.parity.reference import load_samples
from mobilesdk.core.scheme import CompressionRecord, WeightRecord
from mobilesdk.core.step import StepContext
from mobilesdk.coreml.encode import ConstExpr, Layout, Stored, encode
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.graph.program import graph_module, load_program
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
_TRANSPOSED = "conv_transpose"


@dataclass(frozen=True)
class _Call:
    """An operation that gives a weight; a tensor among its arguments becomes a buffer."""

    op: str
    arguments: tuple[tuple[str, Any], ...]


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
    import_module("coreai_torch._compression.custom_layers")  # defines the operations

    module = graph_module(program)
    count = 0
    for node in list(module.graph.find_nodes(op="get_attr")):
        found = next((each for each in record.weights if each.name == node.target), None)
        expression = None if found is None else _expression(found, program)
        if expression is not None:
            _replace(module, node, _call(expression), count)
            count += 1
    module.graph.lint()
    module.recompile()
    return module, count


def exported(
    module: torch.fx.GraphModule, program: torch.export.ExportedProgram
) -> torch.export.ExportedProgram:
    """Export a changed module with the example inputs of the program that it came from."""
    inputs, _ = program.example_inputs
    return torch.export.export(module, inputs)


def _expression(record: WeightRecord, program: torch.export.ExportedProgram) -> ConstExpr | None:
    if record.planned.encoding == "float":
        return None
    channel, block = (1, 0) if record.role == _TRANSPOSED else (0, 1)
    values = program.state_dict[record.name].detach().numpy()
    return encode(values, record.planned, Layout(channel, block, "float32", packed=False))


def _call(expression: ConstExpr) -> _Call:
    arguments = {
        name: _tensor(value) for name, value in expression.arguments.items() if _is_stored(value)
    }
    if expression.op == "constexpr_lut_to_dense":
        return _Call(
            "lut_to_dense",
            (("indices", arguments["indices"]), ("lut", arguments["lut"]), ("axis", 0)),
        )
    if expression.op == "constexpr_blockwise_shift_scale":
        data = expression.arguments["data"]
        narrow = torch.int4 if isinstance(data, Stored) and data.bits == 4 else None
        return _Call(
            "constexpr_blockwise_shift_scale",
            (
                ("data", arguments["data"]),
                ("scale", arguments["scale"]),
                ("zero_point", arguments.get("offset")),
                ("minval", None),
                ("input_dtype", narrow),
            ),
        )
    raise ArtifactInvalid(f"Core AI has no operation for {expression.op}.")


def _is_stored(value: object) -> bool:
    return isinstance(value, Stored)


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(value.values.copy())


def _replace(module: torch.fx.GraphModule, node: torch.fx.Node, call: _Call, place: int) -> None:
    """Put an operation on buffers in the place of a weight."""
    with module.graph.inserting_before(node):
        arguments = []
        for name, value in call.arguments:
            if isinstance(value, Tensor):
                attribute = f"compressed_{place}_{name}"
                module.register_buffer(attribute, value)
                value = module.graph.get_attr(attribute)
            arguments.append(value)
        made = module.graph.call_function(
            getattr(torch.ops.coreai, call.op).default, tuple(arguments)
        )
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
