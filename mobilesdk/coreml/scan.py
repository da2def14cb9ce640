"""What a program needs that the reference executor lacks, found before anything runs."""

from __future__ import annotations

from collections import Counter

from mobilesdk.coreml.constants import bindings_of
from mobilesdk.coreml.constexpr import decoder, is_constant, is_constexpr, unknown_in
from mobilesdk.coreml.ops.registry import BLOCKS, Op, find, known_ops
from mobilesdk.coreml.program import Function, Operation
from mobilesdk.coreml.unverifiable import unverifiable_reasons
from mobilesdk.errors import ArtifactInvalid, UnsupportedProgram

_IOS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18, "CoreML9": 26}


def ios_version(function: Function) -> int:
    """Give the iOS whose operation set a function is written in.

    Raises:
        UnsupportedProgram: The operation set is not known.
    """
    if function.opset not in _IOS:
        raise UnsupportedProgram(
            f"The operation set {function.opset!r} is not known.",
            hint=f"convert for one of {', '.join(_IOS)}.",
        )
    return _IOS[function.opset]


def scan(function: Function) -> tuple[str, ...]:
    """Go over all operations, those of nested blocks too.

    Returns:
        Why results cannot be verified, one clause for each type of operation; empty if they can.

    Raises:
        UnsupportedProgram: Operations or arguments are not known; names all of them.
        ArtifactInvalid: An operation lacks an argument.
        FileRejected: A compressed constant lacks an argument.
    """
    ios = ios_version(function)
    problems: Counter[str] = Counter()
    for operation in function.block.walk():
        problems.update(_problems(operation, ios))
    if problems:
        lines = [f"{problem} ({count} times)" for problem, count in sorted(problems.items())]
        raise UnsupportedProgram(
            "\n  - ".join([f"The reference executor lacks {len(lines)} thing(s):", *lines]),
            hint="report the operations, or convert the model without them.",
        )
    for operation in function.block.walk():
        _check_complete(operation, ios)
    return unverifiable_reasons(operation.type for operation in function.block.walk())


def _problems(operation: Operation, ios: int) -> list[str]:
    """Tell what of an operation is not known."""
    if is_constant(operation.type):
        names = [*operation.inputs, *_attributes(operation)]
        return list(unknown_in(operation.type, names))
    if unverifiable_reasons([operation.type]):
        return []
    meaning = find(operation.type, ios)
    if meaning is not None:
        return _argument_problems(operation, meaning)
    old = " in so old an operation set" if operation.type in known_ops() else ""
    return [f"operation {operation.type}{old}"]


def _attributes(operation: Operation) -> list[str]:
    return sorted(set(operation.attributes) - {"name"})


def _argument_problems(operation: Operation, meaning: Op) -> list[str]:
    problems = [
        f"argument {name} of {operation.type}"
        for name in operation.inputs
        if name not in meaning.parameters
    ]
    # Only constants have arguments among their attributes.
    problems += [f"attribute {name} of {operation.type}" for name in _attributes(operation)]
    if operation.blocks and BLOCKS not in meaning.supplied:
        problems.append(f"{operation.type} with nested blocks")
    return problems


def _check_complete(operation: Operation, ios: int) -> None:
    """Refuse an operation that lacks an argument: the package is broken."""
    if is_constexpr(operation.type):
        decoder(operation.type, bindings_of(operation))
        return
    meaning = find(operation.type, ios)
    parameters = {} if meaning is None else meaning.parameters
    for name, parameter in parameters.items():
        if parameter.required and name not in operation.inputs:
            raise ArtifactInvalid(
                f"{operation.type} {operation.name}: its argument {name} is missing.",
                hint="the package is damaged or was written wrongly: convert the model again.",
            )
