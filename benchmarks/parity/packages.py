"""Core ML packages of a network, in every operation set and in both precisions."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.parity.cases import Case, Samples
from mobilesdk.core.contract import ModelSpec
from mobilesdk.errors import ConversionFailed, MobileSDKError
from mobilesdk.graph.contracts import make_contract
from mobilesdk.graph.flatten import input_leaves
from mobilesdk.graph.module import export_module, run_module
from mobilesdk.graph.prepare import prepare
from mobilesdk.lowering.coreml import convert

TARGETS = ("iOS15", "iOS16", "iOS17", "iOS18")
PRECISIONS = ("float32", "float16")
# What converters raise about a network: a row of the table, not an end of the run.
TOOL_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)

Write = Callable[[str, str, Path], None]
"""Writes a package of a target and a precision."""


def write(case: Case, folder: Path, wanted: Sequence[str] = ()) -> dict[str, str]:
    """Write ``<target>-<precision>.mlpackage``; give what failed, by that name.

    Args:
        case: The network.
        folder: Where to write.
        wanted: Names of packages; all if there are none.
    """
    wanted = wanted or tuple(names())
    module, samples = case.build()
    faults = {}
    try:
        make = _ROUTES[case.route](module.requires_grad_(False), samples)
    except MobileSDKError as error:
        return dict.fromkeys(wanted, _reason(error))
    for name in wanted:
        target, precision = name.split("-")
        path = folder / f"{name}.mlpackage"
        shutil.rmtree(path, ignore_errors=True)  # of an earlier run
        try:
            make(target, precision, path)
        except MobileSDKError as error:
            faults[name] = _reason(error)
    return faults


def names() -> Iterator[str]:
    """Give the name of each package, float32 first."""
    for precision in PRECISIONS:
        for target in TARGETS:
            yield f"{target}-{precision}"


def _reason(error: MobileSDKError) -> str:
    return " ".join(error.message.split())


def _pipeline(module: nn.Module, samples: Samples) -> Write:
    """Convert as mobilesdk's exporter does."""
    spec = ModelSpec(module, samples[0])
    inputs = input_leaves(module, samples[0])
    contract = make_contract(spec, inputs, run_module(module, inputs), None)
    inputs = inputs.renamed(each.name for each in contract.inputs)
    exported, _ = export_module(module, inputs)
    program, _ = convert.decompose(prepare(exported))
    convert.refuse_silent_faults(program)

    def write(target: str, precision: str, path: Path) -> None:
        mil = convert.to_mil(
            program, contract, target=target, compute_precision=precision, keep_weights=False
        )
        convert.write_package(mil, path, target=target, compute_units="cpu_only")

    return write


def _traced(module: nn.Module, samples: Samples) -> Write:
    """Convert a trace, which keeps recurrent layers and suppression whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about values that it takes for constants
        traced = torch.jit.trace(module, samples[0])
    return _direct(traced, inputs=samples[0])


def _stateful(module: nn.Module, samples: Samples) -> Write:
    """Convert an exported program whose buffers become states."""
    program = torch.export.export(module, samples[0]).run_decompositions({})
    return _direct(program)


def _direct(source: Any, inputs: tuple[torch.Tensor, ...] = ()) -> Write:
    ct = convert.import_coremltools()

    def write(target: str, precision: str, path: Path) -> None:
        types = [
            ct.TensorType(f"in_{place}", item.shape, dtype=item.numpy().dtype.type)
            for place, item in enumerate(inputs)
        ]
        options = {"inputs": types} if types else {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the converter, about torch and numpy
                package = ct.convert(
                    source,
                    minimum_deployment_target=getattr(ct.target, target),
                    compute_precision=getattr(ct.precision, precision.upper()),
                    skip_model_load=True,
                    **options,
                )
        except TOOL_ERRORS as error:
            raise ConversionFailed(f"coremltools: {error}") from error
        package.save(str(path))

    return write


_ROUTES: dict[str, Callable[[nn.Module, Samples], Write]] = {
    "pipeline": _pipeline,
    "traced": _traced,
    "stateful": _stateful,
}
