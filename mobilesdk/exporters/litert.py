"""Write a ``.tflite`` file for LiteRT (TensorFlow Lite).

What it does:
    Converts the prepared program with litert-torch to a float file, after rewrites against the
    converter's silent faults, compares it with the program on one sample, and lets
    ai-edge-quantizer store each weight in the scheme that its compressor planned. The weights lie
    on their grids already, so that a plain min-max quantizer finds the same grids again. Ranges of
    static activations are observed in the float file over all calibration samples. A model with
    dimensions gets a signature for every combination of listed sizes (``height_64_width_96``), that
    of the example first; they share the weights, and have ranges of their own.

When to use:
    Android: CPU (XNNPACK), GPU (float16 weights), vendor NPUs (static int8). ``op_set = "nnapi"``
    for Android 8.1 to 14 through NNAPI.

Cost:
    Seconds to convert, for each signature; under a static scheme one run of each signature of the
    float file per calibration sample, with kernels that keep every tensor.

Limits:
    The float file must stay below 2 GB. Weights are symmetric int8, or int4 in convolutions, linear
    layers and embeddings; blocks of 32, 64, 128 or 256 with dynamic activations only. No palettes,
    no sparse encodings. States become inputs and outputs. int64 becomes int32. Dimensions are lists
    of sizes, not ranges.

References:
    https://github.com/google-ai-edge/litert-torch and
    https://github.com/google-ai-edge/ai-edge-quantizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from mobilesdk.core.form import Form, Needs
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
from mobilesdk.flatbuffers.tflite import read_tflite
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.expectation import exported
from mobilesdk.lowering.litert.nnapi import outside_nnapi
from mobilesdk.lowering.litert.recipe import (
    BLOCK_SIZES,
    OpSet,
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
    refuses_dimensions: ClassVar[str] = ""
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
        reasons += [
            f"LiteRT has a signature for each size, and the model has a {each}: list the sizes "
            f"that apps use, such as sizes = ({each.min}, {each.max}), in place of min and max."
            for each in summary.contract.dimensions
            if not each.sizes
        ]
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
        from mobilesdk.lowering.litert.expectation import expectation_of
        from mobilesdk.lowering.litert.parts import CalibrationInputs, parts_of, store
        from mobilesdk.lowering.litert.signatures import sized_programs

        record, contract = complete_record(model), read_summary(model).contract
        program = load_program(model.path)
        weights = _weights(program, record)
        programs = sized_programs(program, contract)
        samples = CalibrationInputs(contract, context, len(programs))
        context.report("converting to LiteRT")
        content = convert_to_litert(
            {each.name: each.program for each in programs},
            {each.name: inputs for each in programs for inputs in samples.first(each)},
            context.threads,
        )
        parts = parts_of(content, programs, weights)
        content = store(
            content, parts, record, samples, op_set=options.op_set, float_io=options.float_io
        )
        artifact = context.output / "model.tflite"
        artifact.write_bytes(content)
        require_op_set(content, options.op_set)
        expectation = expectation_of(content, parts, weights, record, options.op_set)
        return exported(model, "litert", artifact, expectation)


PLUGIN = LiteRTExporter()
_STATIC_INT16 = ActivationScheme(mode="static", bits=16)


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
