"""Core ML: an ML Program in an ``.mlpackage``.

What it does:
    Converts the exported program with coremltools, stores every weight by the scheme that its
    compressor chose, exactly (the values lie on the grid already), and writes the package in
    canonical bytes.

When to use:
    For Apple devices: Neural Engine, GPU and CPU, iOS 15 and later.

Cost:
    Seconds for the conversion of a mobile network, and about four for the import of coremltools.

Limits:
    Compressed weights need iOS 16; 3-bit, grouped, block-wise, 4-bit linear and joint schemes need
    iOS 18. Activations are float16 or float32. Inputs and outputs are float32, float16 and 32-bit
    integers; 64-bit integers become 32-bit ones. Shapes are static. The package does not store
    ``compute_units``: an app sets them when it loads the model.

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
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.lowering.expectation import expected_weight, exported
from mobilesdk.plugins.contract import ExportOptions, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilesdk.coreml.encode import ConstExpr, Stored
    from mobilesdk.lowering.coreml.weights import FoundWeight

plugin_api = 1

_FIRST_IOS18_OPERATIONS = 18
_STORABLE_DTYPES = ("float32", "float16", "int32", "int64")
_FLOAT_REASON = "plain weights are stored in the type that their op computes in"
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
    deployment_target: Literal["iOS15", "iOS16", "iOS17", "iOS18"] = "iOS18"
    compute_precision: Literal["float16", "float32"] = "float16"
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"

    @property
    def ios(self) -> int:
        """Major version of iOS."""
        return int(self.deployment_target.removeprefix("iOS"))


class CoreMLExporter:
    """See the module."""

    options = CoreMLOptions
    tools = (Tool(distribution="coremltools", extra="coreml"),)
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".mlpackage"

    def needs(self, request: Request) -> Needs:
        """Need nothing: weights lie on their grids, and activations are floats."""
        del request
        return Needs.NONE

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
            CompressionIncomplete: A weight cannot be stored by its scheme.
        """
        from mobilesdk.graph.program import load_program
        from mobilesdk.graph.roles import weight_nodes
        from mobilesdk.lowering.coreml import convert, weights

        compression = complete_record(model)
        records = compression.weights
        program, notes = convert.decompose(load_program(model.path))
        convert.refuse_silent_faults(program)
        context.report("converting", 0.1)
        mil = convert.to_mil(
            program,
            read_summary(model).contract,
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
        _store_weights(mil, records, found, options)
        package = context.output / f"model{self.suffix}"
        _write_package(mil, package, options)
        expectation = Expectation(
            weights=tuple(
                expected_weight(
                    record,
                    values[record.name],
                    artifact_name=found[record.name].constant.name if record.name in found else "",
                )
                for record in records
            ),
            activations=compression.activations,
            scale_bits=16 if _is_half(options) else 32,
            planned_activations=ActivationScheme(bits=16 if _is_half(options) else 32),
            activations_reason=f"compute_precision is {options.compute_precision!r}",
            float_op_types=_kept_float32(mil) if _is_half(options) else {},
            notes=tuple(notes),
        )
        return exported(model, "coreml", package, expectation)


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
        return [f"Core ML: {activations} activations come with activation calibration, not yet."]
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
    reasons = []
    specs: tuple[InputSpec | OutputSpec, ...] = (*contract.inputs, *contract.outputs)
    for spec in specs:
        if spec.dtype not in _STORABLE_DTYPES:
            reasons.append(f"Core ML: {spec.name!r} is {spec.dtype}; use float32 or int32.")
        elif spec.dtype == "float16" and options.ios < 16:
            reasons.append(f"Core ML: {spec.name!r} is float16, which needs iOS16 or later.")
    return reasons


def _kept_float32(mil: Any) -> dict[str, str]:
    """Give the types of ops of a float16 program that compute in float32, with the reason."""
    kept = {
        operation.op_type
        for operation in mil.functions["main"].operations
        if any(output.dtype.__name__ == "fp32" for output in operation.outputs)
    }
    reasons = dict.fromkeys(sorted(kept - {"const"}), _KEPT_FLOAT32)
    return reasons | {"cast": "converts between float32 and float16"}


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


def _store_weights(
    mil: Any,
    records: tuple[WeightRecord, ...],
    found: dict[str, FoundWeight],
    options: CoreMLOptions,
) -> None:
    stored: dict[str, WeightRecord] = {}
    for record in records:
        weight = found.get(record.name)
        if weight is None:
            if record.planned.encoding != "float" or record.planned.sparsity:
                raise CompressionIncomplete(
                    f"{record.name} is to be {record.planned}, but coremltools has merged it with "
                    "other constants.",
                    hint="leave this weight out of the compression.",
                )
            continue
        name = weight.constant.name
        if name in stored:
            _refuse_conflict(stored[name], record)
            continue
        stored[name] = record
        expression = _encode(record, weight, options)
        if expression is not None:
            _replace(mil, weight.constant, expression)


def _refuse_conflict(first: WeightRecord, second: WeightRecord) -> None:
    if first.planned != second.planned:
        raise CompressionIncomplete(
            f"{first.name} and {second.name} are one constant, but are to be {first.planned} and "
            f"{second.planned}.",
            hint="ask for one scheme for both roles.",
        )


def _encode(record: WeightRecord, weight: FoundWeight, options: CoreMLOptions) -> ConstExpr | None:
    plain = record.planned.encoding == "float" and not record.planned.sparsity
    if weight.axes is None and not plain:
        users = ", ".join(sorted({op.op_type for op in weight.constant.outputs[0].child_ops}))
        raise CompressionIncomplete(
            f"{record.name} is to be {record.planned}, but is no weight of a layer: {users} takes "
            "it.",
            hint="leave the role 'other' out of the compression.",
        )
    from mobilesdk.coreml.encode import Layout, encode

    channel_axis, block_axis = weight.axes or (0, 1)
    layout = Layout(
        channel_axis=channel_axis,
        block_axis=block_axis,
        scale_type="float16" if weight.is_half else "float32",
        packed=options.ios < _FIRST_IOS18_OPERATIONS,
    )
    try:
        return encode(weight.values, record.planned, layout)
    except CompressionIncomplete as error:
        raise CompressionIncomplete(
            f"{record.name} cannot be stored as {record.planned}: {error.message}"
        ) from error


def _replace(mil: Any, constant: Any, expression: ConstExpr) -> None:
    """Put a compressed constant, under the same name, in the place of a plain one."""
    from coremltools.converters.mil.mil import Builder
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    # Constants have no place in the source; coremltools wants that said.
    sources = (ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE)
    nowhere = [ScopeInfo(source=source, data=[None]) for source in sources]
    block = mil.functions["main"]
    with block, Builder.scope(*nowhere):
        results = _build(expression, constant, constant.name)
        block.replace_uses_of_var_after_op(
            anchor_op=results[0].op,
            old_var=constant.outputs[0],
            new_var=results[0],
            no_check_var_types=True,
        )
        block.remove_ops([constant])


def _build(expression: ConstExpr, before: Any, name: str) -> tuple[Any, ...]:
    from coremltools.converters.mil.mil import Builder

    from mobilesdk.coreml.encode import Stored

    arguments: dict[str, Any] = {
        parameter: _typed(value) if isinstance(value, Stored) else value
        for parameter, value in expression.arguments.items()
    }
    if expression.inner is not None:
        inner = _build(expression.inner, before, f"{name}_values")
        arguments |= zip(expression.results, inner, strict=True)
    built = getattr(Builder, expression.op)(**arguments, before_op=before, name=name)
    return tuple(built) if isinstance(built, list | tuple) else (built,)


def _typed(stored: Stored) -> NDArray[Any]:
    """Mark integers below 8 bits in the way that coremltools knows them by."""
    from coremltools.converters.mil.mil import types

    if stored.bits >= 8:
        return stored.values
    sign = "u" if stored.values.dtype.kind == "u" else ""
    builtin = types.string_to_builtin(f"{sign}int{stored.bits}")
    return stored.values.astype(types.nptype_from_builtin(builtin))


PLUGIN = CoreMLExporter()
