"""What the calls of a ``.pte`` program give, and where the runtime records it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from mobilesdk.core.artifact import OpInfo
from mobilesdk.core.layers import ObservedOp
from mobilesdk.flatbuffers.program import ITEM_BYTES, Call, Program, TensorValue
from mobilesdk.flatbuffers.xnnpack import BACKEND, read_graph
from mobilesdk.flatbuffers.xnnpack_flow import argument_sources

_ALIGNMENT_BYTES = 128


@dataclass(frozen=True)
class CallValue:
    """One value that a call gives.

    Attributes:
        position: Among the tensors that the runtime records for the call.
    """

    op: ObservedOp
    position: int


def values_of_calls(
    program: Program, ops: Sequence[OpInfo], outputs: Mapping[int, str]
) -> list[list[CallValue]]:
    """Give for each call what it gives: of a kernel its outputs, of a delegate what is new.

    Args:
        program: The program.
        ops: What is in it, inside of delegates too.
        outputs: Place of a tensor → the contract's name of the output that it is.
    """
    inside = Counter(int(op.name.partition(".")[0]) for op in ops if op.delegate and "." in op.name)
    walk = _Walk(program, outputs)
    return [
        list(walk.values(place, call, inside[place])) for place, call in enumerate(program.calls)
    ]


def recorded_bytes(program: Program) -> int:
    """Give the room that the values of all calls of one run need at most, in bytes."""
    places = [item for call in program.calls for item in call.arguments]
    listed = [item for place in places for item in program.lists.get(place, ())]
    tensors = [program.tensors[item] for item in (*places, *listed) if item in program.tensors]
    return sum(
        prod(tensor.shape) * ITEM_BYTES[tensor.dtype] + _ALIGNMENT_BYTES for tensor in tensors
    )


@dataclass
class _Walk:
    """Names values by the call that gives them, in the order of execution."""

    program: Program
    outputs: Mapping[int, str]
    names: dict[int, str] = field(default_factory=dict)

    def values(self, place: int, call: Call, inside: int) -> Iterator[CallValue]:
        backend = "" if call.delegate is None else self.program.delegates[call.delegate].backend
        taken = self._taken(call)
        given = list(self._given(call))
        hidden = max(inside - len(given), 0)
        names = {item: f"{place}:{n}" if n else str(place) for n, (_, item) in enumerate(given)}
        for number, (position, item) in enumerate(given):
            used = taken.get(item, call.arguments)
            op = ObservedOp(
                name=names[item],
                type=call.kernel or backend,
                delegate=backend,
                op_count=1 if number else 1 + hidden,
                sources=tuple(dict.fromkeys(self.names[x] for x in used if x in self.names)),
                output=self.outputs.get(item, ""),
                not_comparable=_not_comparable(self.program.tensors[item]),
            )
            yield CallValue(op, position)
        self.names |= names

    def _given(self, call: Call) -> Iterator[tuple[int, int]]:
        """Give position in the record and place of each tensor that a call writes.

        Of a kernel the runtime records the last argument, a tensor or several; of a delegate all
        tensors among the arguments, those that it takes too.
        """
        tensors = self.program.tensors
        if call.delegate is None:
            for last in call.arguments[-1:]:
                written = self.program.lists.get(last, (last,))
                yield from enumerate(item for item in written if item in tensors)
            return
        for position, item in enumerate(item for item in call.arguments if item in tensors):
            is_given = item in self.names or item in self.program.inputs
            if tensors[item].data is None and not is_given:
                yield position, item

    def _taken(self, call: Call) -> dict[int, list[int]]:
        """Tell what the values of an XNNPACK delegate are computed from: not all from all."""
        delegate = None if call.delegate is None else self.program.delegates[call.delegate]
        if delegate is None or delegate.backend != BACKEND:
            return {}
        arguments = dict(enumerate(call.arguments))
        sources = argument_sources(read_graph(delegate.payload, self.program.named_data))
        return {
            arguments[argument]: [arguments[place] for place in places if place in arguments]
            for argument, places in sources.items()
            if argument in arguments
        }


def _not_comparable(tensor: TensorValue) -> str:
    return "" if tensor.dtype.startswith("float") else f"its values are {tensor.dtype}"
