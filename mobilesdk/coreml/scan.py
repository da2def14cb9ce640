"""What a program needs that the reference executor lacks, found before anything runs."""

from __future__ import annotations

from collections import Counter

from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.ops.registry import BLOCKS, Op, find, known_ops
from mobilesdk.coreml.program import Function, Operation
from mobilesdk.coreml.unverifiable import unverifiable_reasons
from mobilesdk.errors import UnsupportedProgram

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
    """
    ios = ios_version(function)
    problems: Counter[str] = Counter()
    for operation in function.block.walk():
        if is_constant(operation.type):
            continue
        if unverifiable_reasons([operation.type]):
            continue
        meaning = find(operation.type, ios)
        if meaning is None:
            problems[_unknown(operation.type)] += 1
        else:
            problems.update(_argument_problems(operation, meaning))
    if problems:
        lines = [f"{problem} ({count} times)" for problem, count in sorted(problems.items())]
        raise UnsupportedProgram(
            "\n  - ".join([f"The reference executor lacks {len(lines)} thing(s):", *lines]),
            hint="report the operations, or convert the model without them.",
        )
    return unverifiable_reasons(operation.type for operation in function.block.walk())


def _unknown(op_type: str) -> str:
    if op_type in known_ops():
        return f"operation {op_type} in so old an operation set"
    return f"operation {op_type}"


def _argument_problems(operation: Operation, meaning: Op) -> list[str]:
    problems = [
        f"argument {name} of {operation.type}"
        for name in (*operation.inputs, *sorted(set(operation.attributes) - {"name"}))
        if name not in meaning.parameters
    ]
    problems += [
        f"{operation.type} without its argument {name}"
        for name, parameter in meaning.parameters.items()
        if parameter.required and name not in operation.inputs
    ]
    if operation.blocks and BLOCKS not in meaning.supplied:
        problems.append(f"{operation.type} with nested blocks")
    return problems
