"""Convert a prepared program to a float LiteRT file, and compare the two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    programs: Mapping[str, torch.export.ExportedProgram],
    samples: Mapping[str, Sequence[NDArray[Any]]] = {},
    threads: int = 1,
) -> bytes:
    """Give the bytes of a float file that computes what programs compute.

    Args:
        programs: Signature → what it is to compute. Prepared: flat and static.
        samples: Signature → inputs to compare the two on; the program's example inputs where there
            are none.
        threads: How many threads may be used.

    Raises:
        ConversionFailed: The converter refuses a program, or changes what it computes.
    """
    torch.set_num_threads(threads)
    content = _convert(programs)
    for name, program in programs.items():
        inputs = tuple(program.example_inputs[0])
        if name in samples:
            inputs = tuple(torch.from_numpy(value) for value in samples[name])
        with torch.no_grad():
            expected = graph_module(program)(*inputs)
        found = ObservedInterpreter(content, threads, name).run([each.numpy() for each in inputs])
        _require_equal([value.numpy() for value in expected], found, name)
    return content


def _convert(programs: Mapping[str, torch.export.ExportedProgram]) -> bytes:
    from litert_torch import Converter

    converter = Converter()
    for name, program in programs.items():
        module = rewrite_for_litert(program)
        converter.add_signature(name, module, tuple(program.example_inputs[0]))
    try:
        return bytes(converter.convert().model_content())
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise refused(
            next(iter(programs.values())),
            f"litert-torch cannot convert the model: {lines[0]}",
            hint="the message names the op; write the model with ops that LiteRT has.",
        ) from error


def _require_equal(expected: list[NDArray[Any]], found: list[NDArray[Any]], signature: str) -> None:
    """Compare outputs: some faults of the converter are silent."""
    for position, (reference, value) in enumerate(zip(expected, found, strict=True)):
        if reference.shape != value.shape:
            raise ConversionFailed(
                f"Output {position} of {signature} in the converted file has the shape "
                f"{list(value.shape)}, not {list(reference.shape)}."
            )
        sqnr_db = _sqnr_db(reference.astype(np.float64), value.astype(np.float64))
        if not sqnr_db >= MIN_SQNR_DB:
            raise ConversionFailed(
                f"Output {position} of {signature} in the converted float file differs from the "
                f"model: SQNR {sqnr_db:.1f} dB, at least {MIN_SQNR_DB:.0f} dB are needed.",
                hint="the converter changed what the model computes; look for an op that rounds "
                "positions or indices, and write it in another way.",
            )


def _sqnr_db(reference: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    noise = float(np.square(reference - value).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(max(float(np.square(reference).sum()), 1e-30) / noise)
