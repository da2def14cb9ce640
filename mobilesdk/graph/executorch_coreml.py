"""Lower a program to ExecuTorch's Core ML delegate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from mobilesdk.graph.executorch_lowering import lower, quiet, replace_payloads

BACKEND = "CoreMLBackend"


def lower_to_coreml(
    program: torch.export.ExportedProgram,
    deployment_target: str,
    compute_precision: str,
    rewrite: Callable[[bytes], bytes],
) -> Any:
    """Give the edge program with what Core ML takes replaced by delegates.

    Args:
        program: A flat program.
        deployment_target: ``iOS15`` … ``iOS18``.
        compute_precision: ``float16`` or ``float32``.
        rewrite: Gives the canonical payload for what the vendor's code prepared, which holds a
            random identifier, a date, and maps in no order.

    Raises:
        ConversionFailed: coremltools or ExecuTorch refused the program.
    """
    _hide_tensorflow()
    with quiet("coremltools"):
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=coremltools.target[deployment_target],
        compute_precision=coremltools.precision(compute_precision),
    )
    edge = lower(program, [CoreMLPartitioner(compile_specs=specs)])
    replace_payloads(edge, BACKEND, rewrite)
    return edge


def _hide_tensorflow() -> None:
    """Keep coremltools from importing TensorFlow: with triton it ends the process."""
    sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]  # None blocks the import
