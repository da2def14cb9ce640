"""Core AI: an ``.aimodel``, Apple's format from iOS 27 on.

What it does:
    Converts the exported program with coreai-torch. Every weight is stored by the scheme that its
    compressor chose, exactly (the values lie on the grid already), in the operations that Core AI
    has for it. Under a scheme of static activations, the ranges of values around convolutions,
    matrix products, sums and pools are observed on all calibration samples, and the values become
    8-bit integers. The asset is written in canonical bytes.

When to use:
    For Apple devices with iOS 27 or later. Earlier ones need Core ML.

Cost:
    Seconds for a mobile network. Static activations: one run of the float program for each
    calibration sample.

Limits:
    Linear weights of 4 and 8 bits, tables of 1, 2, 4, 6 and 8 bits; no sparse weights that are
    compressed besides, or have a pattern. Activations are float16, float32, or static 8-bit
    integers without zero points; what is not around the operations above stays float, and the
    ledger says so. Layer norms compute in float32. Inputs and outputs are float32, float16, and
    integers of 32 bits; 64-bit integers become 32-bit ones. Shapes are static.

References:
    https://developer.apple.com/documentation/coreai
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mobilesdk.core.artifact import ArtifactInfo, OpInfo
from mobilesdk.core.contract import InputSpec, OutputSpec
from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import (
    ActivationScheme,
    CompressionRecord,
    Request,
    WeightRecord,
    WeightScheme,
)
from mobilesdk.core.step import StepContext
from mobilesdk.coreai.inspection import inspect_asset
from mobilesdk.coreai.package import open_asset
from mobilesdk.errors import CompressionIncomplete, InvalidDataset
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.expectation import expected_weight, exported
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, ExportOptions, Tool

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from mobilesdk.lowering.coreai.activations import Region

plugin_api = 1

_DTYPES = ("float32", "float16", "int32", "int64", "bool")
_LINEAR_BITS, _PALETTE_BITS = (4, 8), (1, 2, 4, 6, 8)
_FLOAT_REASON = "plain weights are stored in the type that the program computes in"
_CONVERSION = "converts between float32 and float16"
_NORM = "coreai-torch writes layer norms as a function that computes in float32"
_NORM_TYPES = {
    "broadcasting_add",
    "broadcasting_mul",
    "broadcasting_sub",
    "cast",
    "reduce_mean",
    "rsqrt",
}
_STAYS_FLOAT = (
    "only what is around convolutions, matrix products, sums and pools is rounded to 8 bits"
)


class CoreAIOptions(ExportOptions):
    """The ``[export]`` table.

    Attributes:
        compute_precision: Type of activations and of weights that are not compressed. Where the
            profile asks for no type of activations, this one decides.
    """

    takes_fallback: ClassVar[bool] = False
    compute_precision: Literal["float16", "float32"] = "float16"

    @property
    def is_half(self) -> bool:
        """Whether the program computes in float16."""
        return self.compute_precision == "float16"


class CoreAIExporter:
    """See the module."""

    options = CoreAIOptions
    tools = (Tool(distribution="coreai-torch", extra="coreai"),)
    preloads = PROGRAM_PRELOADS
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".aimodel"

    def needs(self, request: Request) -> Needs:
        """Ask for calibration samples where ranges are fixed at build time."""
        return Needs.CALIBRATION if request.activations.mode == "static" else Needs.NONE

    def refuse(self, options: CoreAIOptions, request: Request, summary: ModelSummary) -> list[str]:
        """Give every reason why an asset cannot store the request."""
        contract = summary.contract
        specs: tuple[InputSpec | OutputSpec, ...] = (*contract.inputs, *contract.outputs)
        return [
            *(
                f"Core AI: {reason} (role {role})."
                for role, scheme in request.weights.items()
                if (reason := _limit(scheme, role))
            ),
            *_refuse_activations(options, request),
            *(
                f"Core AI: {spec.name!r} is {spec.dtype}; use float32 or int32."
                for spec in specs
                if spec.dtype not in _DTYPES
            ),
        ]

    def apply(self, model: Model, options: CoreAIOptions, context: StepContext) -> Model:
        """Write ``model.aimodel`` and ``expectation.json``.

        Raises:
            ConversionFailed: coreai-torch refused the model, or float16 cannot hold a constant.
            CompressionIncomplete: A weight cannot be stored by its scheme, or nothing takes the
                integers that are asked for.
            StepFailed: Activations are not finite, so that they have no range.
        """
        from mobilesdk.graph.program import graph_module, load_program, tensors_by_name
        from mobilesdk.lowering.coreai import convert, half, weights
        from mobilesdk.lowering.coreai.sums import add_up_constants

        compression, contract = complete_record(model), read_summary(model).contract
        program = load_program(model.path)
        tensors = tensors_by_name(program)
        records = tuple(_as_stored(record, options) for record in compression.weights)
        module, region = graph_module(program), None
        convert.import_coreai_torch()
        if compression.activations.mode == "static":
            region = _round_activations(module, compression, model, context)
        records, sums = add_up_constants(module, records)
        weights.compress_weights(module, records, in_half=options.is_half)
        if options.is_half:
            half.compute_in_half(module)
        context.report("converting", 0.5)
        asset = context.output / f"model{self.suffix}"
        inputs, _ = program.example_inputs
        convert.write_asset(module, inputs, contract, asset)
        tensors |= sums
        expectation = Expectation(
            weights=tuple(
                expected_weight(record, tensors[record.name].detach().numpy()) for record in records
            ),
            activations=compression.activations,
            scale_bits=16 if options.is_half else 32,
            **_activations(asset, options, region),
        )
        return exported(model, "coreai", asset, expectation)


def _round_activations(
    module: GraphModule, compression: CompressionRecord, model: Model, context: StepContext
) -> Region:
    """Round activations to ranges of the float program; give what takes integers."""
    from mobilesdk.lowering.coreai.activations import find_region, insert_rounding, observe

    if not context.calibration:
        raise InvalidDataset(
            "Static activations need calibration samples, and there are none.",
            hint="give a calibration set of 32 samples or more.",
        )
    region = find_region(module, compression.weights)
    if not region.ops:
        raise CompressionIncomplete(
            "Static activations are asked for, and no operation of the model is rounded for "
            "Core AI.",
            hint="choose a profile with float activations for this model.",
        )
    ranges = observe(
        module,
        region,
        read_summary(model).contract,
        context.calibration,
        compression.activations.observer,
        context.report,
    )
    insert_rounding(module, region, ranges)
    return region


def _activations(asset: Path, options: CoreAIOptions, region: Region | None) -> dict[str, Any]:
    """Say what activations the file has, in fields of an `Expectation`."""
    if region is not None:
        return {"float_ops": _float_ops(inspect_asset(open_asset(asset)), region)}
    return {
        "planned_activations": ActivationScheme(bits=16 if options.is_half else 32),
        "activations_reason": f"compute_precision is {options.compute_precision!r}",
        "float_op_types": {"cast": _CONVERSION},
        "float_ops": _in_norms(inspect_asset(open_asset(asset))),
    }


def _in_norms(info: ArtifactInfo) -> dict[str, str]:
    """Name the operations of the functions that are norms: these stay float32."""
    functions: dict[str, list[OpInfo]] = defaultdict(list)
    for op in info.ops:
        function, _, rest = op.name.partition(".")
        if "." in rest:
            functions[function].append(op)
    return {
        op.name: _NORM
        for ops in functions.values()
        if {op.type for op in ops} == _NORM_TYPES
        for op in ops
        if op.dtype == "float32"
    }


def _float_ops(info: ArtifactInfo, region: Region) -> dict[str, str]:
    """Name the operations that rightly stay float.

    Raises:
        CompressionIncomplete: The file rounds around more or fewer operations than it was told to.
    """
    for kind, op_types in _COUNTED.items():
        rounded = sum(op.type in op_types and "int" in op.dtype for op in info.ops)
        if rounded != region.count(kind):
            raise CompressionIncomplete(
                f"Core AI rounds the values around {rounded} operations of the types "
                f"{', '.join(op_types)}, not around {region.count(kind)}."
            )
    return {op.name: _STAYS_FLOAT for op in info.ops if op.dtype in ("float32", "float16")}


_COUNTED: dict[Literal["conv", "product"], tuple[str, ...]] = {
    "conv": ("conv2d", "conv3d", "conv_transpose2d"),
    "product": ("broadcasting_batch_matmul",),
}


def _as_stored(record: WeightRecord, options: CoreAIOptions) -> WeightRecord:
    """Plan a plain weight in the type of the program."""
    bits = 16 if options.is_half else 32
    if record.planned.encoding != "float" or record.planned.bits == bits:
        return record
    planned = record.planned.model_copy(update={"bits": bits})
    reason = "; ".join(filter(None, (record.reason, _FLOAT_REASON)))
    return record.model_copy(update={"planned": planned, "reason": reason})


def _limit(scheme: WeightScheme, role: str) -> str:
    """Tell why an asset cannot store a scheme; empty if it can."""
    compressed = scheme.encoding != "float"
    if compressed and role == "other":
        return "what is no weight of a layer stays float"
    if scheme.encoding == "linear" and scheme.bits not in _LINEAR_BITS:
        return f"linear weights have {_LINEAR_BITS} bits, not {scheme.bits}"
    if scheme.encoding == "palette" and scheme.bits not in _PALETTE_BITS:
        return f"tables have {_PALETTE_BITS} bits, not {scheme.bits}"
    if scheme.table_bits is not None:
        return f"tables are floats, not {scheme}"
    if scheme.kept or scheme.sparse_block_size:
        return f"zeros have no pattern, not {scheme}"
    if compressed and scheme.sparsity:
        return f"sparse weights are plain numbers, not {scheme}"
    return ""


def _refuse_activations(options: CoreAIOptions, request: Request) -> list[str]:
    activations = request.activations
    if activations.mode != "float":
        if activations.mode == "static" and activations.bits == 8:
            return []
        return [f"Core AI has static int8 activations here, and no {activations} ones."]
    half_weights = any(s.encoding == "float" and s.bits == 16 for s in request.weights.values())
    asked = activations.bits if activations.bits == 16 or half_weights else None
    if asked in (None, 16 if options.is_half else 32):
        return []
    return [
        f"Core AI: {activations} activations are asked for, but compute_precision is "
        f"{options.compute_precision!r}; change one of them."
    ]


PLUGIN = CoreAIExporter()
