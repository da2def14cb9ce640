"""Write a ``.tflite`` file for LiteRT (TensorFlow Lite).

What it does:
    Converts the prepared program with litert-torch to a float file, after rewrites against the
    converter's silent faults, compares it with the program on one sample, and lets
    ai-edge-quantizer store each weight in the scheme that its compressor planned. The weights lie
    on their grids already, so that a plain min-max quantizer finds the same grids again. Ranges of
    static activations are observed in the float file over all calibration samples.

When to use:
    Android: CPU (XNNPACK), GPU (float16 weights), vendor NPUs (static int8). ``op_set = "nnapi"``
    for Android 8.1 to 14 through NNAPI.

Cost:
    Seconds to convert; under a static scheme one run of the float file per calibration sample,
    with kernels that keep every tensor.

Limits:
    The float file must stay below 2 GB. Weights are symmetric int8, or int4 in convolutions, linear
    layers and embeddings; blocks of 32, 64, 128 or 256 with dynamic activations only. No palettes,
    no sparse encodings. States become inputs and outputs. int64 becomes int32.

References:
    https://github.com/google-ai-edge/litert-torch and
    https://github.com/google-ai-edge/ai-edge-quantizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import (
    ActivationScheme,
    CompressionRecord,
    Request,
    WeightRole,
    WeightScheme,
)
from mobilesdk.core.step import StepContext
from mobilesdk.errors import DelegationRefused
from mobilesdk.flatbuffers.tflite import Subgraph, read_tflite
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.flatbuffers.tflite_weights import stored_weights
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.expectation import exported
from mobilesdk.lowering.litert.expectation import Operands, expected_weights
from mobilesdk.lowering.litert.matching import Matches, match_weights
from mobilesdk.lowering.litert.nnapi import outside_nnapi
from mobilesdk.lowering.litert.recipe import (
    BLOCK_SIZES,
    STATIC_OPERATORS,
    WEIGHT_OPERATORS,
    OpSet,
    build_recipe,
    float_op_types,
    float_operators,
    nnapi_float_types,
)
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, ExportOptions, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

plugin_api = 1

MAX_FLOAT_BYTES = (1 << 31) - (1 << 24)  # of a flatbuffer, less 16 MB for all that is no weight
_INT4_ROLES = ("conv", "linear", "embedding")


class LiteRTOptions(ExportOptions):
    """Keys of a target's ``[export]`` table.

    Attributes:
        op_set: ``builtin``: the built-in operators of LiteRT, and no others. ``nnapi``: those that
            NNAPI 1.0 to 1.3 takes.
        float_io: Under a static scheme, inputs and outputs stay float32 and the file converts
            them; otherwise they are integers, with their scales in the file.
    """

    takes_fallback: ClassVar[bool] = False
    takes_states: ClassVar[bool] = True
    refuses_dimensions: ClassVar[str] = (
        "a .tflite file keeps no largest size, and litert-torch fails at views of symbolic sizes"
    )
    op_set: OpSet = "builtin"
    float_io: bool = True


class LiteRTExporter:
    """Writes ``model.tflite``."""

    options = LiteRTOptions
    tools = (
        Tool(distribution="litert-torch", extra="litert"),
        Tool(distribution="ai-edge-quantizer", extra="litert"),
        Tool(distribution="ai-edge-litert", extra="litert"),
    )
    preloads = (*PROGRAM_PRELOADS, "litert_torch", "ai_edge_quantizer.quantizer")
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".tflite"

    def needs(self, request: Request) -> Needs:
        """Ask for calibration samples where ranges are fixed at build time."""
        return Needs.CALIBRATION if request.activations.mode == "static" else Needs.NONE

    def refuse(self, options: LiteRTOptions, request: Request, summary: ModelSummary) -> list[str]:
        """Give every reason why a ``.tflite`` file cannot store the request."""
        reasons = [
            f"LiteRT stores no {scheme} {role} weights: {reason}."
            for role, scheme in request.weights.items()
            if any(weight.role == role for weight in summary.weights)
            for reason in _refuse_weights(role, scheme, request.activations)
        ]
        reasons += [
            f"LiteRT has no transposed convolutions in groups: {weight.name} has {weight.groups}, "
            "and the converter takes it apart."
            for weight in summary.weights
            if weight.role == "conv_transpose" and weight.groups > 1
        ]
        if summary.float_size_bytes > MAX_FLOAT_BYTES:
            reasons.append(
                f"The model has {summary.float_size_bytes} bytes at float32, and a .tflite file "
                f"holds at most {MAX_FLOAT_BYTES}."
            )
        mode = request.activations
        if options.op_set == "nnapi" and (mode.mode == "dynamic" or mode == _STATIC_INT16):
            reasons.append(f"NNAPI runs float32 and static int8 activations, not {mode}.")
        return reasons

    def apply(self, model: Model, options: LiteRTOptions, context: StepContext) -> Model:
        """Convert, quantize, and write ``model.tflite`` and ``expectation.json``.

        Raises:
            ConversionFailed: The converter refused the model, or changed what it computes.
            CompressionIncomplete: The quantizer refused the schemes.
            DelegationRefused: Ops lie outside the op set.
        """
        from mobilesdk.graph.program import load_program
        from mobilesdk.lowering.litert.conversion import convert_to_litert

        record = complete_record(model)
        program = load_program(model.path)
        samples = _Inputs(read_summary(model), context)
        context.report("converting to LiteRT")
        content = convert_to_litert(program, samples.first(), context.threads)
        subgraph = read_tflite(content).subgraphs[0]
        weights = _weights(program, record)
        matches = match_weights(weights, list(stored_weights(subgraph)))
        content = _store(content, subgraph, _planned(matches, record), record, options, samples)
        artifact = context.output / "model.tflite"
        artifact.write_bytes(content)
        require_op_set(content, options.op_set)
        kept_float = _float_types(content, subgraph, matches, record, options)
        static = record.activations.mode == "static"
        float_ops = float_operators(subgraph) if static else {}
        expectation = Expectation(
            weights=expected_weights(
                record.weights,
                weights,
                matches,
                _operands(record.activations, kept_float, subgraph, float_ops),
            ),
            activations=record.activations,
            planned_activations=ActivationScheme() if record.activations == _FLOAT16 else None,
            activations_reason=_FLOAT16_REASON if record.activations == _FLOAT16 else "",
            float_op_types=kept_float,
            float_ops={subgraph.tensors[index].name: why for index, why in float_ops.items()},
        )
        return exported(model, "litert", artifact, expectation)


PLUGIN = LiteRTExporter()
_STATIC_INT16 = ActivationScheme(mode="static", bits=16)
_FLOAT16 = ActivationScheme(bits=16)
_FLOAT16_REASON = "float32 in the file; the delegate decides whether it computes in float16"


def _refuse_weights(
    role: WeightRole, scheme: WeightScheme, activations: ActivationScheme
) -> Iterator[str]:
    if scheme.sparsity:
        yield "its kernels gain nothing from unstructured zeros, and the file does not shrink"
    if scheme.encoding == "float":
        return
    if scheme.encoding == "palette":
        yield "it has no lookup tables for weights"
        return
    if scheme.bits not in (4, 8):
        yield "its kernels take 4 and 8 bits"
    if not scheme.symmetric:
        yield "its kernels take symmetric weights only"
    if scheme.bits == 4 and role not in _INT4_ROLES:
        yield "it has 4 bits for convolutions, linear layers and embeddings only"
    if scheme.granularity == "per_block":
        if role not in ("linear", "embedding") or scheme.bits != 4:
            yield "it has blocks for 4-bit linear layers and embeddings only"
        if scheme.block_size not in BLOCK_SIZES:
            yield f"blocks have {', '.join(map(str, BLOCK_SIZES))} elements"
        if activations.mode != "dynamic":
            yield "it has blocks with dynamic int8 activations only"


def _weights(program: Any, record: CompressionRecord) -> dict[str, NDArray[Any]]:
    from mobilesdk.graph.program import tensors_by_name

    tensors = tensors_by_name(program)
    return {weight.name: tensors[weight.name].detach().numpy() for weight in record.weights}


@dataclass(frozen=True)
class _Inputs:
    """Calibration samples as inputs in the order of the contract."""

    summary: ModelSummary
    context: StepContext

    def __iter__(self) -> Iterator[list[NDArray[Any]]]:
        import numpy as np

        names = [spec.name for spec in self.summary.contract.inputs]
        for sample in self.context.calibration or ():
            yield [np.ascontiguousarray(sample[name]) for name in names]

    def first(self) -> list[NDArray[Any]] | None:
        return next(iter(self), None)

    def progress(self, done: int) -> None:
        total = len(self.context.calibration or ())
        self.context.report("observing ranges", done / max(total, 1))


def _planned(matches: Matches, record: CompressionRecord) -> dict[int, WeightScheme]:
    """Map the index of each constant that holds a weight to the scheme planned for it."""
    return {
        constant.index: weight.planned
        for weight in record.weights
        if weight.name in matches.weights
        for constant in matches.weights[weight.name].constants
    }


def _store(
    content: bytes,
    subgraph: Subgraph,
    planned: Mapping[int, WeightScheme],
    record: CompressionRecord,
    options: LiteRTOptions,
    samples: _Inputs,
) -> bytes:
    from mobilesdk.lowering.litert.quantization import observe_ranges, quantize

    activations = record.activations
    recipe = build_recipe(
        subgraph, planned, activations, op_set=options.op_set, float_io=options.float_io
    )
    if all(rule["algorithm_key"] == "no_quantize" for rule in recipe):
        return content
    if activations.mode != "static":
        return quantize(content, recipe, None)
    floats = {
        index: tensor.name
        for index, tensor in enumerate(subgraph.tensors)
        if tensor.data is None and tensor.dtype == "float32"
    }
    threads = samples.context.threads
    ranges = observe_ranges(
        content,
        floats,
        samples,
        activations,
        threads=threads,
        progress=samples.progress,
    )
    return quantize(content, recipe, ranges)


def require_op_set(content: bytes, op_set: OpSet) -> None:
    """Raise if an operator is not in the runtime of every app, or not in NNAPI where that is asked.

    Operators of TensorFlow and of one's own (``CUSTOM:Flex…``, ``CUSTOM:…``) come with libraries
    that an app would have to link.
    """
    model = read_tflite(content)
    if op_set == "nnapi" and (outside := outside_nnapi(model)):
        raise DelegationRefused(
            f"NNAPI cannot take: {', '.join(outside)}.",
            hint='use a target with op_set = "builtin", or write the model with other ops.',
        )
    types = Counter(op.type for graph in model.subgraphs for op in graph.operators)
    custom = [
        f"{count} of {kind}" for kind, count in sorted(types.items()) if kind.startswith("CUSTOM:")
    ]
    if custom:
        raise DelegationRefused(
            f"LiteRT has no built-in operator for: {', '.join(custom)}.",
            hint="write the model with ops that LiteRT has built in.",
        )


def _float_types(
    content: bytes,
    subgraph: Subgraph,
    matches: Matches,
    record: CompressionRecord,
    options: LiteRTOptions,
) -> dict[str, str]:
    """Give the op types that may stay float, each with its reason."""
    if record.activations.mode != "static":
        return {}
    of_float_weights = {
        constant.op
        for weight in record.weights
        if weight.planned.encoding == "float" and weight.name in matches.weights
        for constant in matches.weights[weight.name].constants
        if constant.op in WEIGHT_OPERATORS
    }
    found = float_op_types(inspect_tflite(content).ops, of_float_weights)
    return {**found, **nnapi_float_types(subgraph)} if options.op_set == "nnapi" else found


def _operands(
    activations: ActivationScheme,
    kept_float: Iterable[str],
    subgraph: Subgraph,
    float_ops: Container[int],
) -> Operands:
    bits = activations.bits if activations.mode == "static" else 0
    kept = frozenset(
        index
        for operator in subgraph.operators
        if operator.outputs[0] in float_ops
        for index in operator.inputs
    )
    return Operands(bits, STATIC_OPERATORS - WEIGHT_OPERATORS - frozenset(kept_float), kept)
