"""Run a LiteRT file on the host so that every tensor can be read afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.naming import natural_order
from mobilesdk.flatbuffers.tflite import read_tflite

DEFAULT_NAME = "serving_default"
"""Of the signature of a model without dimensions."""


class ObservedInterpreter:
    """LiteRT's interpreter with its plain kernels: delegates would hide the tensors between ops.

    Args:
        content: Bytes of a file with signatures.
        threads: How many threads it may use.
        signature: Name of the signature that it runs.
    """

    def __init__(self, content: bytes, threads: int, signature: str = DEFAULT_NAME) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        self._runner = self._interpreter.get_signature_runner(signature)
        self._inputs = _in_order(self._runner.get_input_details())
        self._outputs = _in_order(self._runner.get_output_details())
        signatures = {each.key: each.subgraph for each in read_tflite(content).signatures}
        self._subgraph = signatures[signature]

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once; inputs and outputs are in the order of the program that was converted."""
        pairs = zip(self._inputs.items(), inputs, strict=True)
        given = {name: value.astype(details["dtype"]) for (name, details), value in pairs}
        self._runner(**given)
        return [self.tensor(details["index"]) for details in self._outputs.values()]

    def tensor(self, index: int) -> NDArray[Any]:
        """Give a copy of a tensor of the signature's subgraph as the last run left it."""
        return np.asarray(self._interpreter.get_tensor(index, self._subgraph))


def _in_order(details: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: details[name] for name in sorted(details, key=natural_order)}
