"""What each format stores, asked of its exporter: the tables of docs/compression.md.

``python -m tests.docs.compression_table`` writes them into the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.model import ModelSummary, ModelWeight
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole, WeightScheme
from mobilesdk.graph.schemes import adapt_to_role, storable
from mobilesdk.plugins import exporter

from .markdown import REPOSITORY

PAGE = REPOSITORY / "docs" / "compression.md"
FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Core ML": ("coreml", {"deployment_target": "iOS18"}),
    "Core AI": ("coreai", {}),
    "ExecuTorch": ("executorch", {"backend": "xnnpack"}),
    "LiteRT": ("litert", {}),
}
SHAPES: Mapping[WeightRole, tuple[int, ...]] = {
    "conv": (128, 128, 3, 3),
    "depthwise": (512, 1, 3, 3),
    "conv_transpose": (128, 128, 2, 2),
    "linear": (128, 128),
    "embedding": (128, 128),
}
FLOAT = ActivationScheme()
ACTIVATIONS = (
    ActivationScheme(mode="static", bits=8),
    ActivationScheme(mode="static", bits=16),
    ActivationScheme(mode="dynamic", bits=8),
)


def _weights(encoding: str, bits: int, granularity: str, **fields: Any) -> WeightScheme:
    return WeightScheme.model_validate(
        {"encoding": encoding, "bits": bits, "granularity": granularity, **fields}
    )


LINEAR = (
    _weights("linear", 8, "per_tensor"),
    _weights("linear", 8, "per_channel"),
    _weights("linear", 8, "per_channel", symmetric=False),
    _weights("linear", 8, "per_block", block_size=32),
    _weights("linear", 4, "per_tensor"),
    _weights("linear", 4, "per_channel"),
    _weights("linear", 4, "per_channel", symmetric=False),
    _weights("linear", 4, "per_block", block_size=32),
    _weights("linear", 2, "per_channel"),
    _weights("linear", 2, "per_block", block_size=32),
)
PALETTES = (
    *(_weights("palette", bits, "per_tensor") for bits in (1, 2, 3, 4, 6, 8)),
    _weights("palette", 4, "per_group", group_size=16),
    _weights("palette", 4, "per_channel"),
    _weights("palette", 4, "per_group", group_size=16, table_bits=8),
)
SPARSE = (
    WeightScheme(bits=16, sparsity=0.5),
    WeightScheme(bits=16, sparsity=0.5, kept=(2, 4)),
    WeightScheme(bits=16, sparsity=0.5, sparse_block_size=4),
    _weights("linear", 8, "per_channel", sparsity=0.5),
    _weights("linear", 4, "per_block", block_size=32, sparsity=0.5),
    _weights("palette", 4, "per_group", group_size=16, sparsity=0.5),
)
TABLES = {
    "Weights alone": [
        (scheme, ActivationScheme(bits=scheme.bits) if scheme.encoding == "float" else FLOAT)
        for scheme in (WeightScheme(bits=16), *LINEAR, *PALETTES, *SPARSE)
    ],
    "Weights and activations": [
        (scheme, activations)
        for activations in ACTIVATIONS
        for scheme in LINEAR
        if scheme.symmetric and scheme.granularity != "per_tensor"
    ],
}


def lines(table: str) -> list[str]:
    """Give the lines of one table."""
    head = ["weights", *(["activations"] if table != "Weights alone" else []), *FORMATS]
    written = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for scheme, activations in TABLES[table]:
        cells = [f"`{scheme}`", *([str(activations)] if table != "Weights alone" else [])]
        cells += [_cell(name, scheme, activations) for name in FORMATS]
        written.append(f"| {' | '.join(cells)} |")
    return written


def _cell(name: str, scheme: WeightScheme, activations: ActivationScheme) -> str:
    roles = [role for role in SHAPES if not adapt_to_role(scheme, role)[1]]
    refused = {role: _refusal(name, role, scheme, activations) for role in roles}
    taken = [role for role, reason in refused.items() if not reason]
    if taken == roles:
        return "all"
    return ", ".join(taken) or "no: " + _shortened(refused["linear"], scheme)


def _refusal(
    name: str, role: WeightRole, scheme: WeightScheme, activations: ActivationScheme
) -> str:
    plugin, options = exporter(FORMATS[name][0]), FORMATS[name][1]
    request = storable({role: scheme}, Request(activations=activations))
    numbers = (1, 8)
    contract = Contract(
        inputs=(InputSpec(name="x", shape=numbers, dtype="float32"),),
        outputs=(OutputSpec(name="y", shape=numbers, dtype="float32"),),
    )
    summary = ModelSummary(
        contract=contract,
        family="other",
        weights=(ModelWeight(name="weight", role=role, shape=SHAPES[role]),),
        op_counts={},
        float_size_bytes=0,
    )
    return next(iter(plugin.refuse(plugin.options(**options), request, summary)), "")


def _shortened(reason: str, scheme: WeightScheme) -> str:
    """Leave out what the row and the column say already."""
    reason = reason.removeprefix(f"LiteRT stores no {scheme} linear weights: ")
    for end in (" (role ", ": use a method"):
        reason = reason.partition(end)[0]
    return reason.removeprefix("Core ML: ").removeprefix("Core AI: ").rstrip(".")


def written(text: str) -> str:
    """Give the page with its tables as they should be."""
    for table in TABLES:
        heading = f"### {table}\n\n"
        place = rf"{re.escape(heading)}(\|.*\n)*"
        content = heading + "\n".join(lines(table)) + "\n"
        text = re.sub(place, lambda _, content=content: content, text)
    return text


def main() -> None:
    """Write the tables into the page."""
    PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()
