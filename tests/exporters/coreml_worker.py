"""Run in a process of its own: export small models, and record how the refused ones ended.

Usage: ``python coreml_worker.py FOLDER DATE SCENARIO...``
"""

from __future__ import annotations

import gc
import json
import sys
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import StepFailed
from mobilesdk.graph.program import export_program
from mobilesdk.lowering.coreml.convert import import_coremltools
from mobilesdk.plugins import compressor, exporter
from tests.programs import write_program


class Net(nn.Module):
    """A weight of every role, one above 65,504 elements, one whose channels divide by little."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 48, 3)
        self.depthwise = nn.Conv2d(48, 48, 7, groups=48)
        self.odd = nn.Conv2d(48, 44, 1)
        self.up = nn.ConvTranspose2d(44, 32, 2, stride=2)
        self.table = nn.Embedding(100, 32)
        self.offset = nn.Parameter(torch.randn(1, 32, 20, 20))
        self.large = nn.Linear(32, 2100)

    def forward(self, image: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        y = self.odd(self.depthwise(self.stem(image).clamp(0, 6)).relu())
        y = self.up(y) + self.offset
        return self.large(y.mean((2, 3))), self.table(ids)


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.full((8, 8), torch.finfo(torch.float32).min).triu(1)
        return (x + mask).softmax(-1)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.full((8, 8), torch.finfo(torch.float32).min).triu(1)


class Heavy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        nn.init.constant_(self.layer.weight, 4e5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Resized(nn.Module):
    def __init__(self, mode: str, *, antialias: bool = False) -> None:
        super().__init__()
        self.mode, self.antialias = mode, antialias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, (5, 5), mode=self.mode, antialias=self.antialias)


class Rescaled(nn.Module):
    """Layers of a scale and a shift of channels, as norms are that no convolution takes in."""

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.linspace(0.5, 1.5, 3).reshape(1, 3, 1, 1)
        for _ in range(8):
            x = torch.relu(x) * scale + (1 - scale)
        return x


VECTOR, IMAGE = (torch.randn(1, 8),), (torch.randn(1, 3, 13, 13),)
NET = (torch.randn(1, 3, 18, 18), torch.zeros(1, 6, dtype=torch.int64))
NO_DATA = {"bias_correction": False}
INT8 = ("quantize_weights", {"weights": {"bits": 8}, **NO_DATA})
INT4 = (
    "quantize_weights",
    {"weights": {"bits": 4, "granularity": "per_block", "block_size": 16}, **NO_DATA},
)
PALETTE6 = ("palettize", {"weights": {"bits": 6}, **NO_DATA})
GROUPS = {"bits": 4, "granularity": "per_group", "group_size": 16}
PALETTE4 = ("palettize", {"weights": GROUPS, **NO_DATA})
TABLES8 = ("palettize", {"weights": {**GROUPS, "table_bits": 8}, **NO_DATA})
CHANNELS = {"bits": 4, "granularity": "per_channel", "table_bits": 8}
TABLE_EACH = ("palettize", {"weights": CHANNELS, **NO_DATA})
SPARSE = ("sparsify", {"ratio": 0.5, **NO_DATA})
TWO_OF_FOUR = ("sparsify", {"kept": [2, 4], **NO_DATA})
BLOCKS = ("sparsify", {"ratio": 0.5, "block_size": 4, **NO_DATA})
# Name → steps, options.
COMPRESSED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "plain": ([], {}),
    "plain_ios15": ([], {"deployment_target": "iOS15"}),
    "plain_float32": ([], {"compute_precision": "float32"}),
    "half_weights": ([("fp16", {"activations": 32})], {"compute_precision": "float32"}),
    "int8": ([INT8], {}),
    "int8_ios16": ([INT8], {"deployment_target": "iOS16"}),
    "int4_block16": ([INT4], {}),
    "palette6_ios17": ([PALETTE6], {"deployment_target": "iOS17"}),
    "palette4_group16": ([PALETTE4], {}),
    "palette4_int8_tables": ([TABLES8], {}),
    "palette4_channel": ([TABLE_EACH], {}),
    "sparse_palette4_int8_tables": ([SPARSE, TABLES8], {}),
    "sparse": ([SPARSE], {}),
    "sparse_ios16": ([SPARSE], {"deployment_target": "iOS16"}),
    "sparse_int8": ([SPARSE, INT8], {}),
    "sparse_palette4": ([SPARSE, PALETTE4], {}),
    "two_of_four_int8": ([TWO_OF_FOUR, INT8], {}),
    "two_of_four_ios16": ([TWO_OF_FOUR], {"deployment_target": "iOS16"}),
    "blocks_palette4": ([BLOCKS, PALETTE4], {}),
    "int8_float32": ([INT8], {"compute_precision": "float32"}),
}
# Name → module, inputs, scheme that is claimed for all weights.
OTHERS: dict[str, tuple[nn.Module, tuple[Tensor, ...], WeightScheme | None]] = {
    "mask": (Masked(), VECTOR, None),
    "scaled": (Scaled(), VECTOR, None),
    "overflow": (Heavy(), VECTOR, None),
    "antialias": (Resized("bilinear", antialias=True), IMAGE, None),
    "bicubic": (Resized("bicubic"), IMAGE, None),
    "tanh_gelu": (nn.GELU(approximate="tanh"), VECTOR, None),
    "off_grid": (nn.Linear(8, 8), VECTOR, WeightScheme(encoding="linear", bits=4)),
    "no_weight": (Net(), NET, WeightScheme(encoding="palette", bits=8)),
    "rescaled": (Rescaled(), IMAGE, None),
    "recurrent": (nn.LSTM(8, 4, batch_first=True), (torch.randn(1, 3, 8),), None),
}


def write_model(module: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> Model:
    program = export_program(module.eval(), inputs)
    with torch.no_grad():
        results = module(*inputs)
    leaves = torch.utils._pytree.tree_leaves(results)
    contract = Contract(
        inputs=tuple(
            InputSpec(name=f"in_{i}", shape=tuple(x.shape), dtype=str(x.dtype)[6:])
            for i, x in enumerate(inputs)
        ),
        outputs=tuple(
            OutputSpec(name=f"out_{i}", shape=tuple(y.shape), dtype=str(y.dtype)[6:])
            for i, y in enumerate(leaves)
        ),
    )
    return write_program(program, contract, folder)


def claim(model: Model, scheme: WeightScheme, folder: Path) -> Model:
    """Say that all weights have a scheme, without putting them on its grid."""
    summary = ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes())
    records = tuple(
        WeightRecord(**weight.model_dump(exclude={"groups"}), requested=scheme, planned=scheme)
        for weight in summary.weights
        if weight.role == "other" or scheme.encoding == "linear"
    )
    path = folder / "compression.json"
    path.write_text(CompressionRecord(weights=records).model_dump_json())
    return model.model_copy(update={"sidecars": {**model.sidecars, "compression": path}})


def prepare(name: str, folder: Path) -> tuple[Model, dict[str, Any]]:
    if name in OTHERS:
        module, inputs, scheme = OTHERS[name]
        model = write_model(module, inputs, folder)
        options = {"compute_precision": "float32"} if name == "rescaled" else {}
        return (claim(model, scheme, folder) if scheme else model), options
    steps, options = COMPRESSED[name]
    model = write_model(Net(), NET, folder)
    for number, (method, config) in enumerate(steps):
        plugin = compressor(method)
        output = folder / f"step{number}"
        output.mkdir()
        model = plugin.apply(model, plugin.config(**config), StepContext(output=output))
    return model, options


def main(root: Path, today: str, names: list[str]) -> None:
    warnings.simplefilter("ignore")
    plugin = exporter("coreml")
    import_coremltools()
    gc.freeze()  # coremltools collects garbage after each conversion
    from coremltools.converters import _converters_entry

    _converters_entry.date = type("Today", (), {"today": lambda: date.fromisoformat(today)})
    errors = {}
    for name in names:
        folder = root / name
        output = folder / "output"
        output.mkdir(parents=True)
        model, options = prepare(name, folder)
        try:
            plugin.apply(model, plugin.options(**options), StepContext(output=output))
        except StepFailed as error:
            errors[name] = {"type": type(error).__name__, **error.to_json()}
    hidden = {name: sys.modules.get(name) is None for name in ("tensorflow", "executorch")}
    (root / "result.json").write_text(json.dumps({"errors": errors, "hidden": hidden}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or [*COMPRESSED, *OTHERS])
