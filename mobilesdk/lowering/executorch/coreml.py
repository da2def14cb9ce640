"""Lower a program to ExecuTorch's Core ML delegate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mobilesdk.lowering.coreml.convert import import_coremltools
from mobilesdk.lowering.executorch.lower import lower, quiet, replace_payloads

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
        StepFailed: TensorFlow is in this process already.
    """
    with quiet("coremltools"):
        coremltools = import_coremltools(beside_executorch=True)
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=coremltools.target[deployment_target],
        compute_precision=coremltools.precision(compute_precision),
    )
    edge = lower(program, [CoreMLPartitioner(compile_specs=specs)])
    replace_payloads(edge, BACKEND, rewrite)
    return edge
