"""ExecuTorch: ``.pte`` programs for the XNNPACK, portable and Core ML backends.

What it does
    Stores the prepared program as its compression record plans: float32, static int8 (weights and
    activations), or integer weights with activations rounded at run time. Ranges come from all
    calibration samples; weights keep the grid that their compressor chose.

When to use
    ``xnnpack``: the CPU of Android and iOS phones. ``portable``: reference kernels, slow, for
    comparison and for devices without XNNPACK. ``coreml``: iOS devices through Core ML, where the
    app holds the ExecuTorch runtime.

Cost
    Half a minute for an image network. Static int8 runs the float program once for each calibration
    sample, on top.

Limits
    XNNPACK has no kernels for float16, palettized, sparse, or weight-only compressed weights;
    dynamic int8 is for matrix products and ordinary 2-D convolutions; blocks are multiples of 32.
    Inputs and outputs stay as in the contract.

References:
    https://docs.pytorch.org/executorch/stable/backends-xnnpack.html
    https://docs.pytorch.org/executorch/stable/backends-coreml.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, Request, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import CompressionIncomplete, StepFailed
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.executorch import PRELOADS
from mobilesdk.lowering.expectation import expected_weight, exported
from mobilesdk.lowering.xnnpack.floats import float_op_types
from mobilesdk.lowering.xnnpack.limits import refusals, weight_refusal
from mobilesdk.plugins.contract import ExportOptions, Tool

if TYPE_CHECKING:
    import torch

    from mobilesdk.lowering.xnnpack.weights import StoredWeight

plugin_api = 1

_HALVED = 'compute_precision is "float16"'
_IN_PACKAGE = {"cast": "converts between float32 and float16"}
_PACKAGE, _METADATA = PurePosixPath("model.mlpackage"), PurePosixPath("metadata.json")


class ExecuTorchOptions(ExportOptions):
    """Fields of ``[export]`` for ``format = "executorch"``.

    Attributes:
        backend: Who runs the program.
        deployment_target: Lowest iOS version, for ``coreml``.
        compute_precision: Of weights and activations, for ``coreml``.
    """

    takes_states: ClassVar[bool] = True
    refuses_dimensions: ClassVar[str] = ""
    backend: Literal["xnnpack", "portable", "coreml"] = "xnnpack"
    deployment_target: Literal["iOS15", "iOS16", "iOS17", "iOS18"] = "iOS16"
    compute_precision: Literal["float16", "float32"] = "float16"

    @property
    def lowest_os(self) -> str | None:
        """Of iOS, for ``coreml``."""
        return self.deployment_target.removeprefix("iOS") if self.backend == "coreml" else None


class ExecuTorchExporter:
    """Writes ``model.pte``."""

    options = ExecuTorchOptions
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".pte"
    tools = (
        Tool(distribution="executorch", extra="executorch"),
        Tool(distribution="torchao", extra="executorch"),
    )
    preloads = PRELOADS

    def needs(self, request: Request) -> Needs:
        """Ask for calibration samples when ranges of activations are fixed in the file."""
        return Needs.CALIBRATION if request.activations.mode == "static" else Needs.NONE

    def refuse(
        self, options: ExecuTorchOptions, request: Request, summary: ModelSummary
    ) -> list[str]:
        """Give every reason why the backend cannot store the request; empty if it can."""
        reasons = refusals(options.backend, options.compute_precision, request, summary)
        if options.backend == "coreml" and summary.contract.states:
            reasons.append("The Core ML delegate is given no states: use the format coreml.")
        if options.backend == "coreml" and summary.contract.dimensions:
            reasons.append("The Core ML delegate is given static shapes: use the format coreml.")
        return reasons

    def apply(self, model: Model, options: ExecuTorchOptions, context: StepContext) -> Model:
        """Write ``model.pte`` and ``expectation.json``.

        Raises:
            ConversionFailed: torch or ExecuTorch refused the program.
            CompressionIncomplete: A weight that is to be integers is taken by an op that has no
                kernel for them.
        """
        from mobilesdk.graph.lifting import with_buffers
        from mobilesdk.graph.program import graph_module, load_program
        from mobilesdk.graph.symbols import program_shapes
        from mobilesdk.lowering.executorch.lower import export_module, serialize
        from mobilesdk.lowering.xnnpack.rewrites import rewrite_for_xnnpack

        record = complete_record(model)
        _check(record, options)
        program, summary = load_program(model.path), read_summary(model)
        module = graph_module(program)
        if options.backend == "xnnpack":
            rewrite_for_xnnpack(module)
        stored = _compress(module, record, summary, context)
        _check_all_stored(record, stored)
        context.report("lowering", 0.5)
        module = with_buffers(module, summary.contract)
        states = [state.name for state in summary.contract.states]
        example = program.example_inputs[0][: len(summary.contract.inputs)]
        lowered = _lower(export_module(module, example, program_shapes(program)), options)
        data = serialize(lowered, states)
        artifact = context.output / f"model{self.suffix}"
        artifact.write_bytes(data)
        halved = options.backend == "coreml" and options.compute_precision == "float16"
        expectation = Expectation(
            weights=tuple(_expected(program, record, stored, halved)),
            activations=record.activations,
            planned_activations=ActivationScheme(bits=16) if halved else None,
            activations_reason=_HALVED if halved else "",
            float_op_types=_IN_PACKAGE if halved else _float_ops(record, data),
        )
        return exported(model, "executorch", artifact, expectation)


def _check(record: CompressionRecord, options: ExecuTorchOptions) -> None:
    """Refuse a plan that the backend cannot store, before anything is converted."""
    for weight in record.weights:
        reason = weight_refusal(
            options.backend,
            options.compute_precision,
            record.activations,
            weight.planned,
            weight.role,
            len(weight.shape),
        )
        if reason:
            raise CompressionIncomplete(
                f"{weight.name} is planned as {weight.planned}: {reason}.",
                hint="choose another profile for this target, or override the role in its table.",
            )


def _compress(
    module: torch.fx.GraphModule,
    record: CompressionRecord,
    summary: ModelSummary,
    context: StepContext,
) -> dict[str, StoredWeight]:
    """Rewrite the module so that it holds integers; give what is stored, by name."""
    import executorch.exir  # noqa: F401  # registers the op for embeddings
    import torch

    from mobilesdk.lowering.xnnpack.dynamic import quantize_dynamic, quantize_embeddings
    from mobilesdk.lowering.xnnpack.static import quantize_static

    torch.set_num_threads(context.threads)
    planned = {w.name: w.planned for w in record.weights if w.planned.encoding == "linear"}
    stored = quantize_embeddings(module, planned)
    if record.activations.mode == "static":
        samples = _samples(summary, context)
        stored |= quantize_static(module, planned, samples, record.activations.observer)
    elif record.activations.mode == "dynamic":
        stored |= quantize_dynamic(module, planned)
    return stored


def _samples(summary: ModelSummary, context: StepContext) -> Iterator[list[torch.Tensor]]:
    import torch

    if context.calibration is None:
        raise StepFailed(
            "Static int8 needs calibration samples, and none were given.",
            hint="give a calibration set with --calibration.",
        )
    names = [spec.name for spec in summary.contract.inputs]
    total = len(context.calibration)
    for done, sample in enumerate(context.calibration):
        context.report(f"calibrating, sample {done + 1} of {total}", 0.5 * done / total)
        yield [torch.from_numpy(sample[name].copy()) for name in names]


def _check_all_stored(record: CompressionRecord, stored: Mapping[str, StoredWeight]) -> None:
    missing = [
        f"{weight.name} ({weight.role}, {weight.planned})"
        for weight in record.weights
        if weight.planned.encoding == "linear" and weight.name not in stored
    ]
    if missing:
        raise CompressionIncomplete(
            f"No int8 kernel takes {len(missing)} weight(s): {', '.join(missing[:10])}.",
            hint="override the role in the profile so that these weights stay float32.",
        )


def _lower(program: torch.export.ExportedProgram, options: ExecuTorchOptions) -> Any:
    from mobilesdk.lowering.executorch.lower import lower

    if options.backend == "portable":
        return lower(program, [])
    if options.backend == "coreml":
        from mobilesdk.lowering.executorch.coreml import lower_to_coreml

        return lower_to_coreml(
            program, options.deployment_target, options.compute_precision, _canonical_payload
        )
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return lower(program, [XnnpackPartitioner()])


def _canonical_payload(payload: bytes) -> bytes:
    """Rewrite what the Core ML delegate keeps: a package, and a table of inputs and outputs.

    The package becomes canonical, its identifier follows from its content, and debug information
    is left out.
    """
    from mobilesdk.coreml.canonical import canonicalize
    from mobilesdk.flatbuffers.executorch_folder import pack, unpack

    with TemporaryDirectory() as folder:
        source, destination = Path(folder, "source"), Path(folder, "destination")
        files = unpack(memoryview(payload))
        for path, content in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(content)
        canonicalize(source / _PACKAGE, destination / _PACKAGE)
        kept = {
            PurePosixPath(path.relative_to(destination)): path.read_bytes()
            for path in sorted(destination.rglob("*"))
            if path.is_file()
        }
    metadata = json.loads(bytes(files[_METADATA]))
    metadata["identifier"] = f"executorch_{sha256(pack(kept)).hexdigest()}"
    return pack(kept | {_METADATA: json.dumps(metadata, sort_keys=True).encode()})


def _expected(
    program: torch.export.ExportedProgram,
    record: CompressionRecord,
    stored: Mapping[str, StoredWeight],
    halved: bool,
) -> Iterator[ExpectedWeight]:
    """Give what the file is to hold for every weight; ``halved`` when Core ML stores float16."""
    from mobilesdk.graph.program import tensors_by_name

    tensors = tensors_by_name(program)
    for weight in record.weights:
        values, scheme, reason = tensors[weight.name].detach(), weight.planned, weight.reason
        if halved and scheme == WeightScheme():
            scheme, reason = WeightScheme(bits=16), _HALVED
        if (found := stored.get(weight.name)) and found.reason:
            values, scheme, reason = found.values, found.scheme, found.reason
        yield expected_weight(weight, values.numpy(), planned=scheme, reason=reason)


def _float_ops(record: CompressionRecord, data: bytes) -> dict[str, str]:
    """Give the types of ops that rightly stay float in the file, if it is a static program."""
    if record.activations.mode != "static":
        return {}
    from mobilesdk.flatbuffers.executorch import inspect_program

    roles = {weight.role for weight in record.weights if weight.planned.encoding != "linear"}
    return float_op_types(inspect_program(memoryview(data)), roles)


PLUGIN = ExecuTorchExporter()
