"""Core ML: an ML Program in an ``.mlpackage``.

What it does:
    Converts the exported program with coremltools, stores every weight by the scheme that its
    compressor chose, exactly (the values lie on the grid already), and writes the package in
    canonical bytes. Under a scheme of static activations, the reference executor runs the package
    on all calibration samples, and the values around convolutions, matrix products, sums and pools
    become 8-bit integers.

When to use:
    For Apple devices: Neural Engine, GPU and CPU, iOS 15 and later.

Cost:
    Seconds for the conversion of a mobile network, and about four for the import of coremltools.
    Static activations: one run of the reference executor for each calibration sample.

Limits:
    Compressed weights need iOS 16; 3-bit, grouped, block-wise, 4-bit linear and joint schemes need
    iOS 18. Activations are float16, float32, or static 8-bit integers without zero points (iOS 17);
    what Core ML has no integers for stays float, and the ledger says so. Inputs and outputs are
    float32, float16 and 32-bit integers; 64-bit integers become 32-bit ones. States are float16 and
    need iOS 18. Dimensions are ranges, or lists of shapes, which several inputs take from iOS 18
    on. The package does not store ``compute_units``: an app sets them when it loads the model.

References:
    https://apple.github.io/coremltools/docs-guides/source/opt-overview.html
    https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.coreml.limits import limit
from mobilesdk.errors import CompressionIncomplete, InvalidDataset
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.coreml.limits import is_int8, refuse_integers
from mobilesdk.lowering.expectation import expected_weight, exported
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, ExportOptions, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilesdk.lowering.coreml.weights import FoundWeight

plugin_api = 1

_FIRST_STATES = 18
_FIRST_LISTS = 18  # of shapes, for more than one input
_STORABLE_DTYPES = ("float32", "float16", "int32", "int64")
_FLOAT_REASON = "plain weights are stored in the type that their op computes in"
_CAST = "converts between float32 and float16"
_KEPT_FLOAT32 = "coremltools keeps it in float32, as where float16 cannot hold a constant of it"


class CoreMLOptions(ExportOptions):
    """The ``[export]`` table.

    Attributes:
        deployment_target: First iOS version that has to load the package.
        compute_precision: Type of activations and of weights that are not compressed. Where the
            profile asks for no type of activations, this one decides.
        compute_units: Where the app will run it.
    """

    takes_fallback: ClassVar[bool] = False
    takes_states: ClassVar[bool] = True
    refuses_dimensions: ClassVar[str] = ""
    deployment_target: Literal["iOS15", "iOS16", "iOS17", "iOS18"] = "iOS18"
    compute_precision: Literal["float16", "float32"] = "float16"
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"

    @property
    def ios(self) -> int:
        """Major version of iOS."""
        return int(self.deployment_target.removeprefix("iOS"))

    @property
    def lowest_os(self) -> str:
        """Of iOS."""
        return str(self.ios)


class CoreMLExporter:
    """See the module."""

    options = CoreMLOptions
    tools = (Tool(distribution="coremltools", extra="coreml"),)
    preloads = (*PROGRAM_PRELOADS, "mobilesdk.lowering.coreml.convert:import_coremltools")
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".mlpackage"

    def needs(self, request: Request) -> Needs:
        """Ask for calibration samples where ranges are fixed at build time."""
        return Needs.CALIBRATION if request.activations.mode == "static" else Needs.NONE

    def refuse(self, options: CoreMLOptions, request: Request, summary: ModelSummary) -> list[str]:
        """Give every reason why the deployment target cannot store the request."""
        reasons = [
            f"Core ML: {reason} (role {role}, deployment_target = {options.deployment_target!r})."
            for role, scheme in request.weights.items()
            if (reason := limit(scheme, options.ios))
        ]
        reasons += _refuse_precision(options, request)
        return reasons + _refuse_contract(options, summary.contract)

    def apply(self, model: Model, options: CoreMLOptions, context: StepContext) -> Model:
        """Write ``model.mlpackage`` and ``expectation.json``.

        Raises:
            ConversionFailed: coremltools refused the model, or would have changed it silently.
            CompressionIncomplete: A weight cannot be stored by its scheme, or nothing takes the
                integers that are asked for.
            StepFailed: Activations are not finite, so that they have no range.
        """
        from mobilesdk.graph.lifting import stateful_program
        from mobilesdk.graph.program import load_program
        from mobilesdk.graph.roles import weight_nodes
        from mobilesdk.lowering.coreml import convert, storing, weights

        compression = complete_record(model)
        records, contract = compression.weights, read_summary(model).contract
        program, notes = convert.decompose(stateful_program(load_program(model.path), contract))
        convert.refuse_silent_faults(program)
        convert.name_relu6(program)
        context.report("converting", 0.1)
        mil = convert.to_mil(
            program,
            contract,
            target=options.deployment_target,
            compute_precision=options.compute_precision,
            keep_weights=any(record.planned.encoding != "float" for record in records),
        )
        values = weights.weight_values(program)
        found = weights.find_weights(
            mil,
            {record.name: values[record.name] for record in records},
            {name: node.name for name, node in weight_nodes(program).items()},
        )
        records = tuple(_as_stored(record, found.get(record.name), options) for record in records)
        context.report("storing weights", 0.5)
        storing.store_weights(mil, records, found, options.ios)
        package = context.output / f"model{self.suffix}"
        float_ops: dict[str, str] = {}
        if compression.activations.mode == "static":
            float_ops = _round_activations(mil, records, found, options, model, context)
        _write_package(mil, package, options)
        names = {name: weight.constant.name for name, weight in found.items()}
        expectation = Expectation(
            weights=tuple(
                expected_weight(
                    item,
                    _as_decoded(values[item.name], found.get(item.name)),
                    artifact_name=names.get(item.name, ""),
                    merged=item.role == "other" and item.name not in names,
                )
                for item in records
            ),
            activations=compression.activations,
            scale_bits=16 if _is_half(options) else 32,
            float_ops=float_ops,
            notes=(*notes, *_state_notes(contract)),
        )
        if compression.activations.mode == "float":
            expectation = expectation.model_copy(update=_float_activations(mil, options, contract))
        return exported(model, "coreml", package, expectation)


def _round_activations(
    mil: Any,
    records: tuple[WeightRecord, ...],
    found: dict[str, FoundWeight],
    options: CoreMLOptions,
    model: Model,
    context: StepContext,
) -> dict[str, str]:
    """Round activations to ranges of a float package; give the ops that stay float, with reasons.

    Writing the float package settles the names in the program: those of the package are the same.
    """
    from mobilesdk.lowering.coreml import calibration, integers, pads

    compression, contract = complete_record(model), read_summary(model).contract
    int8_weights = {
        found[record.name].constant.name for record in records if is_int8(record.planned)
    }
    samples = context.calibration
    if not samples:
        raise InvalidDataset(
            "Static activations need calibration samples, and there are none.",
            hint="give a calibration set of 32 samples or more.",
        )
    pads.fold_pads(mil)
    with tempfile.TemporaryDirectory(dir=context.output) as scratch:
        package = Path(scratch) / "float.mlpackage"
        _write_package(mil, package, options)
        region = integers.find_region(mil, int8_weights)
        if not region.ops:
            raise CompressionIncomplete(
                "Static activations are asked for, and no operation of the model takes integers in "
                "Core ML.",
                hint="choose a profile with float activations for this model.",
            )
        ranges = calibration.observe_ranges(
            package,
            contract,
            samples,
            region.ranges,
            compression.activations.observer,
            threads=context.threads,
            progress=lambda done: context.report("observing ranges", done / len(samples)),
        )
    integers.insert_rounding(mil, region, ranges)
    return region.float_ops


def _float_activations(mil: Any, options: CoreMLOptions, contract: Contract) -> dict[str, Any]:
    """Say what float activations the file has, in fields of an `Expectation`."""
    of_states = {"read_state": "states are float16", "cast": _CAST} if contract.states else {}
    return {
        "planned_activations": ActivationScheme(bits=16 if _is_half(options) else 32),
        "activations_reason": f"compute_precision is {options.compute_precision!r}",
        "float_op_types": _kept_float32(mil) if _is_half(options) else of_states,
    }


def _write_package(mil: Any, package: Path, options: CoreMLOptions) -> None:
    from mobilesdk.coreml.canonical import canonicalize
    from mobilesdk.lowering.coreml import convert

    with tempfile.TemporaryDirectory(dir=package.parent) as scratch:
        written = Path(scratch) / package.name
        convert.write_package(
            mil, written, target=options.deployment_target, compute_units=options.compute_units
        )
        canonicalize(written, package)


def _is_half(options: CoreMLOptions) -> bool:
    return options.compute_precision == "float16"


def _refuse_precision(options: CoreMLOptions, request: Request) -> list[str]:
    activations = request.activations
    if activations.mode != "float":
        return refuse_integers(request, options.ios)
    half_weights = any(_is_plain_half(scheme) for scheme in request.weights.values())
    asked_bits = activations.bits if activations.bits == 16 or half_weights else None
    if asked_bits not in (None, 16 if _is_half(options) else 32):
        return [
            f"Core ML: {activations} activations are asked for, but compute_precision is "
            f"{options.compute_precision!r}; change one of them."
        ]
    if half_weights and not _is_half(options) and options.ios < 16:
        return ["Core ML: float16 weights of a float32 program need iOS16 or later."]
    return []


def _is_plain_half(scheme: WeightScheme) -> bool:
    return scheme.encoding == "float" and scheme.bits == 16


def _refuse_contract(options: CoreMLOptions, contract: Contract) -> list[str]:
    reasons = _refuse_states(options, contract) + _refuse_dimensions(options, contract)
    specs: tuple[InputSpec | OutputSpec, ...] = (*contract.inputs, *contract.outputs)
    for spec in specs:
        if spec.dtype not in _STORABLE_DTYPES:
            reasons.append(f"Core ML: {spec.name!r} is {spec.dtype}; use float32 or int32.")
        elif spec.dtype == "float16" and options.ios < 16:
            reasons.append(f"Core ML: {spec.name!r} is float16, which needs iOS16 or later.")
    return reasons


def _refuse_dimensions(options: CoreMLOptions, contract: Contract) -> list[str]:
    listed = [each for each in contract.dimensions if each.sizes]
    if not listed:
        return []
    if len(listed) < len(contract.dimensions):
        return [
            "Core ML: an input has listed shapes or ranges, and the model has dimensions of "
            "both kinds; give all of them ranges, or all of them sizes."
        ]
    names = {name for each in listed for name, axes in each.axes.items() if axes}
    if len(names) > 1 and options.ios < _FIRST_LISTS:
        return [
            f"Core ML: {len(names)} inputs ({', '.join(sorted(names))}) with listed shapes need "
            f"iOS{_FIRST_LISTS} or later (deployment_target = {options.deployment_target!r}); "
            "a range has no such limit."
        ]
    return []


def _refuse_states(options: CoreMLOptions, contract: Contract) -> list[str]:
    if contract.states and options.ios < _FIRST_STATES:
        return [
            f"Core ML: the model has states ({', '.join(each.name for each in contract.states)}), "
            f"which need iOS{_FIRST_STATES} or later "
            f"(deployment_target = {options.deployment_target!r})."
        ]
    return [
        f"Core ML: the state {each.name!r} is {each.dtype}, and states are float16."
        for each in contract.states
        if each.dtype not in ("float32", "float16")
    ]


def _state_notes(contract: Contract) -> list[str]:
    wide = [each.name for each in contract.states if each.dtype == "float32"]
    return [f"Core ML: states are float16: {', '.join(wide)}."] if wide else []


def _kept_float32(mil: Any) -> dict[str, str]:
    """Give the types of ops of a float16 program that compute in float32, with the reason."""
    kept = {
        operation.op_type
        for operation in mil.functions["main"].operations
        if any(output.dtype.__name__ == "fp32" for output in operation.outputs)
    }
    reasons = dict.fromkeys(sorted(kept - {"const"}), _KEPT_FLOAT32)
    return reasons | {"cast": _CAST}


def _as_decoded(values: NDArray[Any], weight: FoundWeight | None) -> NDArray[Any]:
    """Give the values that a file decodes to: those of a weight whose op takes float16 are rounded.

    The steps of a table of integers meet few roundings, each of many elements: they do not cancel.
    """
    return values.astype("float16") if weight is not None and weight.is_half else values


def _as_stored(
    record: WeightRecord, weight: FoundWeight | None, options: CoreMLOptions
) -> WeightRecord:
    """Plan a plain weight in the type of its op: float32 where float16 would overflow."""
    half = _is_half(options) if weight is None else weight.is_half
    bits = 16 if half else record.planned.bits
    if record.planned.encoding != "float" or record.planned.bits == bits:
        return record
    planned = record.planned.model_copy(update={"bits": bits})
    reason = "; ".join(filter(None, (record.reason, _FLOAT_REASON)))
    return record.model_copy(update={"planned": planned, "reason": reason})


PLUGIN = CoreMLExporter()
