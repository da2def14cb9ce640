"""From an exported program to an ML Program with coremltools, without its silent faults.

coremltools is imported inside functions, by `import_coremltools`, which keeps it apart from
packages that it clashes with.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilesdk.core.contract import Contract
from mobilesdk.core.sizes import flexibility_of, own_sizes
from mobilesdk.coreml.infinities import takes_infinity
from mobilesdk.errors import ConversionFailed, StepFailed
from mobilesdk.graph.origin import place_of_node
from mobilesdk.graph.refusal import refused

# coremltools imports each of these when it is there, and needs none.
_CLASHING = ("tensorflow",)  # beside triton it ends the process with a segmentation fault
_UNWANTED = ("executorch", "torchao", "sklearn")  # executorch adds a file to every package

_aten = torch.ops.aten
_NEEDS_FULL_DECOMPOSITION = {
    "aten::lstm": "an LSTM",
    "aten::gru": "a GRU",
    "aten::rnn_tanh": "an RNN",
    "aten::rnn_relu": "an RNN",
    "aten::new_ones": "new_ones",
}
# Passes that merge an op into the weight before it, and so move the weight off its grid.
_WEIGHT_CHANGING_PASSES = {"common::fuse_conv_scale", "common::fuse_conv_batchnorm"}
# Makes a batch norm of a scale and a shift, with a variance of 1 and the default epsilon of 1e-5:
# every such layer comes out 5e-6 too small, which are 79 dB at the end of DenseNet-121.
_INEXACT_PASSES = {"common::fuse_elementwise_to_batchnorm"}
_ARRAY_TYPES = {
    "float32": np.float32,
    "float16": np.float16,
    "int32": np.int32,
    "int64": np.int32,  # ML Programs take no 64-bit integers
}
_HINTS = (
    (r"upsample_nearest_exact", "use mode='nearest', or resize by a whole factor."),
    (r"bicubic", "use mode='bilinear'."),
    (r"unfold|stft|fft|complex", "write the transform as conv1d with a precomputed DFT matrix."),
    (r"index_copy", "write the cache with torch.where(position == index, new, cache)."),
    (r"Unsupported fx node|not implemented|not been implemented", "replace the op by others."),
)
_HINT = "write the part that the message names with other ops; a smaller model tells which it is."


def import_coremltools(*, beside_executorch: bool = False) -> Any:
    """Import coremltools with the packages hidden that it clashes with.

    Args:
        beside_executorch: Whether it works for ExecuTorch, which then has to stay in sight.

    Raises:
        StepFailed: TensorFlow is in this process already: both together end in a segmentation
            fault.
    """
    if sys.modules.get("tensorflow") is not None:
        raise StepFailed(
            "coremltools cannot run in a process that has imported TensorFlow.",
            hint="run each toolchain in a process of its own.",
        )
    for name in _CLASHING if beside_executorch else _CLASHING + _UNWANTED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # None: import raises
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of coremltools and its dependencies, not ours
        import coremltools

    return coremltools


def decompose(
    program: torch.export.ExportedProgram,
) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """Rewrite what coremltools has no converter for, where torch knows how.

    Returns:
        The program, and what was done to it, one sentence each.
    """
    names = {
        node.target.name().split(".")[0]
        for node in program.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
    }
    found = sorted(
        {_NEEDS_FULL_DECOMPOSITION[name] for name in names & _NEEDS_FULL_DECOMPOSITION.keys()}
    )
    if not found:
        return program, ()
    note = (
        f"Core ML: {', '.join(found)} decomposed by torch; recurrent layers are unrolled in time."
    )
    return program.run_decompositions(), (note,)


def name_relu6(program: torch.export.ExportedProgram) -> None:
    """Write every clamp to 0…6 as ``relu6``, in place.

    Core ML runs ``relu6`` inside the op before it, and ``clip``, which coremltools makes of
    ``hardtanh``, as an op of its own.
    """
    for node in program.graph.find_nodes(op="call_function", target=_aten.hardtanh.default):
        if node.args[1:] == (0.0, 6.0):
            node.target, node.args = _aten.relu6.default, node.args[:1]


def refuse_silent_faults(program: torch.export.ExportedProgram) -> None:
    """Refuse the ops that coremltools converts without an error into something else.

    Raises:
        ConversionFailed: With the node named.
    """
    for node in program.graph.nodes:
        name = str(node.target)
        if name.startswith("aten._upsample_") and "_aa" in name:
            raise ConversionFailed(
                f"{node.name}: coremltools drops antialias=True when it resizes.",
                hint="resize without antialias inside the model, or before it.",
                place=place_of_node(node),
            )
        if node.target is _aten.gelu.default and _approximation(node) != "none":
            raise ConversionFailed(
                f"{node.name}: coremltools replaces gelu(approximate='tanh') by the exact one.",
                hint="use nn.GELU() if the exact one is meant, or write the formula out.",
                place=place_of_node(node),
            )


def _approximation(node: torch.fx.Node) -> str:
    return str(node.kwargs.get("approximate", node.args[1] if len(node.args) > 1 else "none"))


def to_mil(
    program: torch.export.ExportedProgram,
    contract: Contract,
    *,
    target: str,
    compute_precision: str,
    keep_weights: bool,
) -> Any:
    """Convert to a coremltools program in memory.

    Args:
        program: Flat, in the contract's order.
        contract: Names and dtypes of inputs and outputs.
        target: ``iOS15`` … ``iOS18``.
        compute_precision: ``float16`` or ``float32``.
        keep_weights: Whether ops may not be merged into the weights before them.

    Raises:
        ConversionFailed: coremltools refused, or a constant is not finite that is no mask or bound.
    """
    ct = import_coremltools()
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(_INEXACT_PASSES)
    if keep_weights:
        pipeline.remove_passes(_WEIGHT_CHANGING_PASSES)
    shapes = _input_shapes(ct, contract)
    inputs = [
        ct.TensorType(name=spec.name, shape=shapes[spec.name], dtype=_ARRAY_TYPES[spec.dtype])
        for spec in contract.inputs
    ]
    outputs = [
        ct.TensorType(name=spec.name, dtype=_ARRAY_TYPES[spec.dtype]) for spec in contract.outputs
    ]
    mil = _convert(
        ct,
        program,
        convert_to="milinternal",
        inputs=inputs,
        outputs=outputs,
        minimum_deployment_target=getattr(ct.target, target),
        compute_precision=getattr(ct.precision, compute_precision.upper()),
        pass_pipeline=pipeline,
    )
    _refuse_infinite(mil, compute_precision)
    return mil


def _input_shapes(ct: Any, contract: Contract) -> dict[str, Any]:
    """Give the shape of each input: numbers, ranges, or the shapes that are allowed."""
    own, found = own_sizes(contract), {}
    ranges = {
        each.name: ct.RangeDim(each.min, each.max, default=own[each.name], symbol=each.name)
        for each in contract.dimensions
    }
    for spec in contract.inputs:
        flexible = flexibility_of(contract, spec)
        if flexible is None:
            found[spec.name] = spec.shape
        elif flexible.shapes:
            found[spec.name] = ct.EnumeratedShapes(flexible.shapes, default=spec.shape)
        else:
            axes = {
                axis: ranges[each.name]
                for each in contract.dimensions
                for axis in each.axes.get(spec.name, ())
            }
            shape = [axes.get(axis, size) for axis, size in enumerate(spec.shape)]
            found[spec.name] = ct.Shape(shape)
    return found


def write_package(mil: Any, path: Path, *, target: str, compute_units: str) -> None:
    """Write a coremltools program as a package."""
    ct = import_coremltools()
    model = _convert(
        ct,
        mil,
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, target),
        compute_units=getattr(ct.ComputeUnit, compute_units.upper()),
        pass_pipeline=ct.PassPipeline.CLEANUP,
        skip_model_load=True,
    )
    model.save(str(path))


def _convert(ct: Any, source: Any, **options: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converter, about torch and numpy
            return ct.convert(source, **options)
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,  # NotImplementedError too
        TypeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hints = (hint for pattern, hint in _HINTS if re.search(pattern, reason))
        program = source if isinstance(source, torch.export.ExportedProgram) else None
        raise refused(program, f"coremltools: {reason}", hint=next(hints, _HINT)) from error


def _refuse_infinite(mil: Any, compute_precision: str) -> None:
    """Refuse constants that are not finite, unless all that takes them has a meaning for it."""
    for function in mil.functions.values():
        for operation in function.operations:
            value = operation.outputs[0].val if operation.op_type == "const" else None
            if isinstance(value, str | bytes | bool) or value is None:
                continue
            array = np.asarray(value)
            if array.dtype.kind != "f" or np.isfinite(array).all():
                continue
            constant = operation.outputs[0]
            if np.isnan(array).any() or not _may_be_infinite(
                constant, is_negative=bool(array.max() < np.inf)
            ):
                users = ", ".join(op.name for op in constant.child_ops)
                raise ConversionFailed(
                    f"The constant {operation.name} of {users} is not finite in "
                    f"{compute_precision}.",
                    hint='keep constants within 65504, or set compute_precision = "float32".',
                )


def _may_be_infinite(constant: Any, *, is_negative: bool) -> bool:
    return all(
        takes_infinity(operation.op_type, parameter, is_negative=is_negative)
        for operation in constant.child_ops
        for parameter, given in operation.inputs.items()
        if any(item is constant for item in (given if isinstance(given, tuple) else (given,)))
    )
