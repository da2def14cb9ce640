"""Convert a prepared program to a float LiteRT file, and compare the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesdk.errors import ConversionFailed
from mobilesdk.graph.program import graph_module
from mobilesdk.graph.refusal import refused
from mobilesdk.lowering.litert.interpreter import ObservedInterpreter
from mobilesdk.lowering.litert.rewrites import rewrite_for_litert

MIN_SQNR_DB = 60.0
"""Between float32 program and float32 file; right conversions reach 75 dB and more."""


def convert_to_litert(
    program: torch.export.ExportedProgram,
    sample: Sequence[NDArray[Any]] | None = None,
    threads: int = 1,
) -> bytes:
    """Give the bytes of a float file that computes what the program computes.

    Args:
        program: Prepared: flat and static.
        sample: Inputs to compare the two on; the program's example inputs when ``None``.
        threads: How many threads may be used.

    Raises:
        ConversionFailed: The converter refuses the program, or changes what it computes.
    """
    torch.set_num_threads(threads)
    examples = tuple(program.example_inputs[0])
    content = _convert(program, examples)
    inputs = examples if sample is None else tuple(torch.from_numpy(value) for value in sample)
    with torch.no_grad():
        expected = graph_module(program)(*inputs)
    found = ObservedInterpreter(content, threads).run([value.numpy() for value in inputs])
    _require_equal([value.numpy() for value in expected], found)
    return content


def _convert(program: torch.export.ExportedProgram, examples: tuple[Any, ...]) -> bytes:
    import litert_torch

    module = rewrite_for_litert(program)
    try:
        return bytes(litert_torch.convert(module, examples).model_content())
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise refused(
            program,
            f"litert-torch cannot convert the model: {lines[0]}",
            hint="the message names the op; write the model with ops that LiteRT has.",
        ) from error


def _require_equal(expected: list[NDArray[Any]], found: list[NDArray[Any]]) -> None:
    """Compare outputs: some faults of the converter are silent."""
    for position, (reference, value) in enumerate(zip(expected, found, strict=True)):
        if reference.shape != value.shape:
            raise ConversionFailed(
                f"Output {position} of the converted file has the shape {list(value.shape)}, not "
                f"{list(reference.shape)}."
            )
        sqnr_db = _sqnr_db(reference.astype(np.float64), value.astype(np.float64))
        if not sqnr_db >= MIN_SQNR_DB:
            raise ConversionFailed(
                f"Output {position} of the converted float file differs from the model: SQNR "
                f"{sqnr_db:.1f} dB, at least {MIN_SQNR_DB:.0f} dB are needed.",
                hint="the converter changed what the model computes; look for an op that rounds "
                "positions or indices, and write it in another way.",
            )


def _sqnr_db(reference: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    noise = float(np.square(reference - value).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(max(float(np.square(reference).sum()), 1e-30) / noise)
