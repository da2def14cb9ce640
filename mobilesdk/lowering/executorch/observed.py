"""The values inside a ``.pte`` program as the ExecuTorch runtime writes them down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesdk.core.artifact import OpInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import Observation, ObservedOp
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.program import ITEM_BYTES, Call, Program, TensorValue
from mobilesdk.flatbuffers.xnnpack import BACKEND, read_graph
from mobilesdk.flatbuffers.xnnpack_flow import argument_sources
from mobilesdk.lowering.executorch.events import record_events

_CALL_EVENTS = ("OPERATOR_CALL", "DELEGATE_CALL")
_ALIGNMENT_BYTES = 128
_SPARE_BYTES = 1 << 16


@dataclass(frozen=True)
class _Value:
    """One value that a call gives, and where it stands among those that the runtime records."""

    op: ObservedOp
    position: int


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
        self._program = program
        outputs = {
            place: spec.name for place, spec in zip(program.outputs, contract.outputs, strict=True)
        }
        self._values = _values(program, _inner_counts(ops), outputs)
        self._bytes = _SPARE_BYTES + sum(_recorded_bytes(program, call) for call in program.calls)

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


def _recorded(event: Any, value: _Value) -> NDArray[Any]:
    try:
        tensor = event.debug_data[value.position]
        return np.asarray(tensor.detach().to(torch.float32).numpy())
    except (AttributeError, IndexError) as error:
        raise ArtifactInvalid(
            f"The runtime recorded no value for {value.op.type} at {value.op.name}."
        ) from error


def _values(
    program: Program, inner_counts: Mapping[int, int], outputs: Mapping[int, str]
) -> list[list[_Value]]:
    """Give for each call what it gives: of a kernel its outputs, of a delegate what is new."""
    names: dict[int, str] = {}
    found = []
    for place, call in enumerate(program.calls):
        given = _given(program, call, names)
        taken = _taken(program, call, [item for _, item in given])
        values = []
        for number, (position, item) in enumerate(given):
            name = f"{place}:{number}" if number else str(place)
            sources = tuple(dict.fromkeys(names[used] for used in taken[item] if used in names))
            hidden = inner_counts.get(place, 1) - len(given) if number == 0 else 0
            op = ObservedOp(
                name=name,
                type=call.kernel or program.delegates[call.delegate or 0].backend,
                delegate="" if call.kernel else program.delegates[call.delegate or 0].backend,
                op_count=1 + max(hidden, 0),
                sources=sources,
                output=outputs.get(item, ""),
                not_comparable=_not_comparable(program.tensors[item]),
            )
            values.append(_Value(op, position))
        names |= {item: value.op.name for (_, item), value in zip(given, values, strict=True)}
        found.append(values)
    return found


def _given(program: Program, call: Call, known: Mapping[int, str]) -> list[tuple[int, int]]:
    """Give position in the record and place of each tensor that a call writes.

    Of a kernel the runtime records the last argument, a tensor or several; of a delegate all
    tensors among the arguments, those that it takes too.
    """
    if call.delegate is None:
        return list(enumerate(_written(program, call)))
    tensors = [item for item in call.arguments if item in program.tensors]
    return [
        (position, item)
        for position, item in enumerate(tensors)
        if program.tensors[item].data is None and item not in known and item not in program.inputs
    ]


def _taken(program: Program, call: Call, given: Sequence[int]) -> Mapping[int, Sequence[int]]:
    """Tell for each tensor that a call gives which values it is computed from.

    All that the call takes, but inside of an XNNPACK delegate not all is computed from all.
    """
    delegate = None if call.delegate is None else program.delegates[call.delegate]
    if delegate is None or delegate.backend != BACKEND:
        return dict.fromkeys(given, call.arguments)
    sources = argument_sources(read_graph(delegate.payload, program.named_data))
    return {
        call.arguments[argument]: [call.arguments[place] for place in sorted(places)]
        for argument, places in sources.items()
    }


def _written(program: Program, call: Call) -> tuple[int, ...]:
    last = call.arguments[-1]
    return program.lists.get(last, (last,) if last in program.tensors else ())


def _recorded_bytes(program: Program, call: Call) -> int:
    tensors = [program.tensors[item] for item in call.arguments if item in program.tensors]
    return sum(
        prod(tensor.shape) * ITEM_BYTES[tensor.dtype] + _ALIGNMENT_BYTES for tensor in tensors
    )


def _inner_counts(ops: Sequence[OpInfo]) -> Counter[int]:
    """Count the ops inside of delegates by the place of the call: they are named ``place.n``."""
    return Counter(int(op.name.partition(".")[0]) for op in ops if op.delegate and "." in op.name)


def _not_comparable(tensor: TensorValue) -> str:
    return "" if tensor.dtype.startswith("float") else f"its values are {tensor.dtype}"
