"""The values inside a ``.pte`` program as the ExecuTorch runtime writes them down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesdk.core.artifact import OpInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import Observation
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.program import Program
from mobilesdk.lowering.executorch.calls import CallValue, recorded_bytes, values_of_calls
from mobilesdk.lowering.executorch.events import record_events

_CALL_EVENTS = ("OPERATOR_CALL", "DELEGATE_CALL")
_SPARE_BYTES = 1 << 16


class ObservedProgram:
    """A program, and every value that its calls give.

    Args:
        path: The ``.pte`` file.
        program: The same, read.
        ops: What is in it, inside of delegates too.
        contract: What it holds to.
        threads: That it may use.
    """

    how = (
        "values that the ExecuTorch runtime records after each call; a delegate is one call, and "
        "shows what it gives, nothing of its inside"
    )

    def __init__(
        self,
        path: Path,
        program: Program,
        ops: Sequence[OpInfo],
        contract: Contract,
        threads: int,
    ) -> None:
        self._path = path
        self._contract = contract
        self._threads = threads
        outputs = {
            place: spec.name for place, spec in zip(program.outputs, contract.outputs, strict=True)
        }
        self._values = values_of_calls(program, ops, outputs)
        self._bytes = _SPARE_BYTES + recorded_bytes(program)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Observation]:
        """Run once on one sample; give what each call gives, in order.

        Raises:
            ArtifactInvalid: The program does not run, or the runtime records something else.
        """
        tensors = [torch.from_numpy(inputs[spec.name].copy()) for spec in self._contract.inputs]
        events = record_events(self._path, tensors, threads=self._threads, value_bytes=self._bytes)
        calls = [event for event in events if event.name in _CALL_EVENTS]
        if len(calls) != len(self._values):
            raise ArtifactInvalid(
                f"The runtime recorded {len(calls)} calls of {len(self._values)}: what branches or "
                "repeats cannot be compared call by call.",
                hint="compare the outputs alone: mobilesdk verify.",
            )
        for event, values in zip(calls, self._values, strict=True):
            for value in values:
                yield Observation(value.op, _recorded(event, value))


def _recorded(event: Any, value: CallValue) -> NDArray[Any]:
    try:
        tensor = event.debug_data[value.position]
        return np.asarray(tensor.detach().to(torch.float32).numpy())
    except (AttributeError, IndexError) as error:
        raise ArtifactInvalid(
            f"The runtime recorded no value for {value.op.type} at {value.op.name}."
        ) from error
