"""Run a LiteRT file on the host so that every tensor can be read afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.naming import natural_order


class ObservedInterpreter:
    """LiteRT's interpreter with its plain kernels: delegates would hide the tensors between ops.

    Args:
        content: Bytes of a file with one signature.
        threads: How many threads it may use.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner()
        self._inputs = _in_order(runner.get_input_details())
        self._outputs = _in_order(runner.get_output_details())

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once; inputs and outputs are in the order of the program that was converted."""
        for details, value in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(details["index"], value.astype(details["dtype"]))
        self._interpreter.invoke()
        return [self.tensor(details["index"]) for details in self._outputs]

    def tensor(self, index: int) -> NDArray[Any]:
        """Give a copy of a tensor of the main subgraph as the last run left it."""
        return np.asarray(self._interpreter.get_tensor(index))


def _in_order(details: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [details[name] for name in sorted(details, key=natural_order)]
