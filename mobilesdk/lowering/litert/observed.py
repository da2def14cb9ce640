"""The values inside a ``.tflite`` file as LiteRT's plain kernels compute them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.layers import Observation, ObservedOp
from mobilesdk.errors import UsageError
from mobilesdk.flatbuffers.tflite import Subgraph, Tensor, read_tflite

_INTEGERS = frozenset({"int8", "uint8", "int16", "int32"})

Arrays = Mapping[str, NDArray[Any]]


class ObservedFile:
    """A loaded file, and every value in it.

    Args:
        path: The file.
        interpreter: That keeps all tensors of it.
        run: Runs the file once in that interpreter.
        outputs: The contract's name of each tensor that is an output.
    """

    how = (
        "LiteRT's plain kernels, one op at a time: its default delegate would hide the values; "
        "integers decoded with the scales of the file; constants and their decoding are not listed"
    )

    def __init__(
        self,
        path: Path,
        interpreter: Any,
        run: Callable[[Arrays], object],
        outputs: Mapping[int, str],
    ) -> None:
        model = read_tflite(path)
        if len(model.subgraphs) != 1:
            raise UsageError(
                f"The file has {len(model.subgraphs)} subgraphs; values inside of branches, loops "
                "and several signatures cannot be seen."
            )
        self._interpreter = interpreter
        self._run = run
        self._graph = model.subgraphs[0]
        self._values = tuple(_varying(self._graph, outputs))

    def run(self, inputs: Arrays) -> Iterator[Observation]:
        """Run once on one sample; give every value that depends on the inputs, in order.

        Raises:
            ArtifactInvalid: The run fails.
        """
        self._run(inputs)
        for op, index in self._values:
            tensor = self._graph.tensors[index]
            if op.not_comparable:
                yield Observation(op, np.empty(0, np.float32))
            else:
                yield Observation(op, _decode(self._interpreter.get_tensor(index), tensor))


def _varying(graph: Subgraph, outputs: Mapping[int, str]) -> Iterator[tuple[ObservedOp, int]]:
    """Give the results of all ops that take, directly or not, an input of the graph."""
    names: dict[int, str] = {}
    for place, operator in enumerate(graph.operators):
        if not any(index in names or index in graph.inputs for index in operator.inputs):
            continue
        sources = tuple(names[index] for index in operator.inputs if index in names)
        for number, index in enumerate(operator.outputs):
            names[index] = f"{place}:{number}" if number else str(place)
            op = ObservedOp(
                name=names[index],
                type=operator.type,
                sources=sources,
                output=outputs.get(index, ""),
                not_comparable=_not_comparable(graph.tensors[index]),
            )
            yield op, index


def _not_comparable(tensor: Tensor) -> str:
    if tensor.dtype in ("float32", "float16"):
        return ""
    if tensor.dtype not in _INTEGERS or tensor.quantization is None:
        return f"its values are {tensor.dtype}"
    return "" if tensor.quantization.scales.size == 1 else "it has a scale for each channel"


def _decode(values: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    """Give the real numbers; activations have one scale each."""
    decoded = values.astype(np.float32)
    quantization = tensor.quantization
    if quantization is None:
        return decoded
    zero_point = quantization.zero_points[0] if quantization.zero_points.size else 0
    real: NDArray[np.float32] = (decoded - np.float32(zero_point)) * quantization.scales[0]
    return real
