"""Observe ranges in a float LiteRT file, and have ai-edge-quantizer store its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.lowering.litert.interpreter import ObservedInterpreter
from mobilesdk.lowering.litert.used_outputs import mend_used_outputs
from mobilesdk.numerics.ranges import RangeObserver

Ranges = dict[str, dict[str, NDArray[np.float32]]]


def observe_ranges(
    content: bytes,
    signature: str,
    tensors: Mapping[int, str],
    samples: Iterable[Sequence[NDArray[Any]]],
    scheme: ActivationScheme,
    *,
    threads: int,
    progress: Callable[[int], None],
) -> Ranges:
    """Give the range of every tensor of a signature over all samples, as the quantizer takes it.

    Args:
        content: Bytes of the float file.
        signature: Name of the signature to run.
        tensors: Index → name of the tensors to observe.
        samples: Inputs in the order of the program.
        scheme: Static: how a range follows from the values, and the grid that it is for.
        threads: How many threads may be used.
        progress: Called with the number of samples done.

    Raises:
        StepFailed: There are no samples, or a value is not finite.
    """
    interpreter = ObservedInterpreter(content, threads, signature)
    symmetric = scheme.bits == 16  # the kernels take no int16 zero points
    observers = {
        index: RangeObserver(scheme.observer, scheme.bits, symmetric=symmetric) for index in tensors
    }
    for place, sample in enumerate(samples):
        interpreter.run(sample)
        for index, observer in observers.items():
            observer.update(interpreter.tensor(index), tensors[index], place)
        progress(place + 1)
    ranges: Ranges = {}
    for index, observer in observers.items():
        low, high = observer.range()
        ranges[tensors[index]] = {
            "min": np.array([low], np.float32),
            "max": np.array([high], np.float32),
        }
    return ranges


def quantize(content: bytes, recipe: list[dict[str, Any]], ranges: Ranges | None) -> bytes:
    """Store weights, and with ranges also activations, as the recipe says.

    Raises:
        CompressionIncomplete: The quantizer refuses the recipe.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    try:
        result = Quantizer(content, recipe).quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
    except (ValueError, RuntimeError, KeyError) as error:
        raise CompressionIncomplete(
            f"ai-edge-quantizer cannot store the planned schemes: {error}",
            hint="choose int8 per channel for the weights that it names.",
        ) from error
    return mend_used_outputs(bytes(result.quantized_model))
