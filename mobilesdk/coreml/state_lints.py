"""Faults in states: writes that a converter dropped."""

from __future__ import annotations

from collections.abc import Iterator

from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Function, StateType
from mobilesdk.coreml.wiring import names


def unwritten_states(package: Package, function: Function) -> Iterator[str]:
    """A trace of ``cache[:, :, position] = new`` reads the state, and coremltools drops the write.

    A function may leave the writing to another one, of which the state has the same name.
    """
    written = {
        name
        for each in package.model.program.functions.values()
        for operation in each.block.walk()
        if operation.type == "write_state"
        for name in names(operation, ("input",))
    }
    for item in function.inputs:
        if isinstance(item.type, StateType) and item.name not in written:
            yield f"The state {item.name!r} is never written: every run finds it as before."
