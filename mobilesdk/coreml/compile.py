"""Compilation of a function: names to slots, constants to arguments, last uses to freeing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mobilesdk.coreml.constexpr import is_constexpr
from mobilesdk.coreml.interpret import FAULTS, Argument, CompiledBlock, Source, Step
from mobilesdk.coreml.literals import Literals
from mobilesdk.coreml.ops.arguments import AS_IS, MAY_BE_LARGE
from mobilesdk.coreml.ops.registry import BLOCK_SIZE, LIMIT, RESULTS, Op, find, find_blocked
from mobilesdk.coreml.precision import Precision
from mobilesdk.coreml.program import Block, NamedType, Operation, TensorType, Value
from mobilesdk.coreml.results import ResultCheck, check_declared
from mobilesdk.errors import ArtifactInvalid, FileRejected

Scope = dict[str, int]


def is_constant(operation: Operation) -> bool:
    """Tell whether an operation is a constant, compressed or not."""
    return operation.type == "const" or is_constexpr(operation.type)


class Compiler:
    """Turns the blocks of one function into steps."""

    def __init__(
        self, literals: Literals, ios: int, precision: Precision, max_elements: int
    ) -> None:
        self._literals = literals
        self._ios = ios
        self._precision = precision
        self._max_elements = max_elements
        self.slot_count = 0

    def block(self, block: Block, inputs: tuple[NamedType, ...], outer: Scope) -> CompiledBlock:
        """Compile a block.

        Args:
            block: The block.
            inputs: Its own inputs.
            outer: Slots of the names that it sees.

        Raises:
            FileRejected: It uses a name that is not defined before.
            LimitExceeded: A result is declared larger than the limit.
            ArtifactInvalid: A constant argument is not what the operation takes.
        """
        scope = dict(outer)
        input_slots = tuple(self._define(item.name, scope) for item in inputs)
        steps = [
            self._step(operation, scope)
            for operation in block.operations
            if not is_constant(operation)
        ]
        outputs = tuple(self._source(name, scope) for name in block.outputs)
        own = {*input_slots, *(slot for step in steps for slot, _ in step.outputs)}
        _mark_last_uses(steps, own.difference(outputs))
        return CompiledBlock(input_slots, tuple(steps), outputs)

    def _define(self, name: str, scope: Scope) -> int:
        scope[name] = self.slot_count
        self.slot_count += 1
        return scope[name]

    def _source(self, name: str, scope: Mapping[str, int]) -> Source:
        if name in scope:
            return scope[name]
        if name in self._literals:
            return self._literals.named(name)
        raise FileRejected(f"ML Program: {name!r} is used and defined nowhere before.")

    def _step(self, operation: Operation, scope: Scope) -> Step:
        meaning = self._meaning(operation)
        step = Step(operation, meaning.function, {}, [], [], [], (), ())
        for name, bindings in operation.inputs.items():
            self._bind(step, meaning, name, bindings, scope)
        step.blocks = tuple(self.block(inner, inner.inputs, scope) for inner in operation.blocks)
        if RESULTS in meaning.supplied:
            step.known[RESULTS] = tuple(output.type for output in operation.outputs)
        if BLOCK_SIZE in meaning.supplied:
            step.known[BLOCK_SIZE] = self._precision.block_size
        if LIMIT in meaning.supplied:
            step.known[LIMIT] = self._max_elements
        step.outputs = tuple(
            (self._define(output.name, scope), self._check(operation, meaning, output))
            for output in operation.outputs
        )
        return step

    def _check(self, operation: Operation, meaning: Op, output: NamedType) -> ResultCheck:
        if isinstance(output.type, TensorType):
            where = f"{operation.type} {operation.name}"
            check_declared(where, output.type, self._max_elements)
        exact = meaning.kind != "float"
        return ResultCheck(output, self._precision, self._max_elements, exact=exact)

    def _meaning(self, operation: Operation) -> Op:
        meaning = find(operation.type, self._ios)
        if self._precision.block_size is not None:
            meaning = find_blocked(operation.type) or meaning
        if meaning is None:
            raise ArtifactInvalid(f"{operation.type} {operation.name} has no meaning here.")
        return meaning

    def _bind(
        self,
        step: Step,
        meaning: Op,
        name: str,
        bindings: tuple[str | Value, ...],
        scope: Scope,
    ) -> None:
        convert = meaning.parameters[name].convert
        argument = Argument(name, convert, tuple(self._given(item, scope) for item in bindings))
        slots = argument.slots
        if not slots and convert not in MAY_BE_LARGE:
            step.known[name] = _known(step.operation, argument)
        elif not slots:
            step.constants.append(argument)
        elif len(bindings) == 1 and convert in AS_IS:
            step.direct.append((name, slots[0]))
        else:
            step.converted.append(argument)

    def _given(self, binding: str | Value, scope: Scope) -> Source:
        if isinstance(binding, str):
            return self._source(binding, scope)
        return partial(self._literals.written, binding)


def _known(operation: Operation, argument: Argument) -> Any:
    try:
        return argument.get([])
    except FAULTS as error:
        where = f"{operation.type} {operation.name}"
        raise ArtifactInvalid(f"{where}: its argument {argument.name}: {error}") from error


def _reads(step: Step) -> set[int]:
    slots = {slot for _, slot in step.direct}
    slots.update(slot for argument in step.converted for slot in argument.slots)
    for block in step.blocks:
        slots.update(slot for inner in block.steps for slot in _reads(inner))
        slots.update(slot for slot in block.outputs if isinstance(slot, int))
    return slots


def _mark_last_uses(steps: list[Step], own: set[int]) -> None:
    """Free each slot of the block after the last step that reads or, unread, defines it."""
    seen: set[int] = set()
    for step in reversed(steps):
        reads, results = _reads(step), {slot for slot, _ in step.outputs}
        step.spent = tuple(sorted((reads & own) - seen))
        step.unread = tuple(sorted((results & own) - seen))
        seen |= reads | results
