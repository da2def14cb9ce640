"""Compilation of a function: names to slots, constants to arguments, last uses to freeing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.faults import FAULTS, refusal
from mobilesdk.coreml.interpret import Argument, Check, CompiledBlock, Observer, Run, Source, Step
from mobilesdk.coreml.literals import Literals
from mobilesdk.coreml.live_memory import LiveMemory
from mobilesdk.coreml.ops.arguments import AS_IS, MAY_BE_LARGE
from mobilesdk.coreml.ops.registry import BLOCK_SIZE, LIMIT, RESULTS, Op, find
from mobilesdk.coreml.precision import Precision
from mobilesdk.coreml.program import Block, Function, NamedType, Operation, TensorType, Value
from mobilesdk.coreml.results import Unchecked, ValueCheck, check_declared
from mobilesdk.errors import ArtifactInvalid, FileRejected

Scope = dict[str, int]


@dataclass(frozen=True)
class CompiledFunction:
    """A function, ready to be run.

    Attributes:
        block: Its body.
        slot_count: Values that a run stores.
    """

    block: CompiledBlock
    slot_count: int

    def new_run(self, operations: int, memory: LiveMemory, observe: Observer | None) -> Run:
        """Prepare a run of at most so many operations; ``observe`` is called with every result."""
        count = self.slot_count
        return Run([None] * count, [True] * count, [False] * count, operations, memory, observe)


def compile_function(
    function: Function, literals: Literals, ios: int, precision: Precision, max_elements: int
) -> CompiledFunction:
    """Compile a function.

    Args:
        function: Its operations and their arguments are known.
        literals: Its constants.
        ios: Version whose operation set it is written in.
        precision: How arithmetic is done.
        max_elements: Of one tensor.

    Raises:
        FileRejected: It uses a name that is not defined before.
        LimitExceeded: A result is declared larger than the limit.
        ArtifactInvalid: A constant argument is not what the operation takes.
    """
    compiler = _Compiler(literals, ios, precision, max_elements)
    block = compiler.block(function.block, function.inputs, {})
    return CompiledFunction(block, compiler.slot_count)


class _Compiler:
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
        """Compile a block with inputs of its own; ``outer`` has the slots of the names it sees."""
        scope = dict(outer)
        input_slots = tuple(self._define(item.name, scope) for item in inputs)
        steps = [
            self._step(operation, scope)
            for operation in block.operations
            if not is_constant(operation.type)
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
        step = Step(operation, meaning.function, hands_on=meaning.kind == "structural")
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

    def _check(self, operation: Operation, meaning: Op, output: NamedType) -> Check:
        of = output.type
        if not isinstance(of, TensorType) or of.element is ElementType.STRING:
            return Unchecked(output.name)
        check_declared(f"{operation.type} {operation.name}", of, self._max_elements)
        exact = meaning.kind != "float"
        return ValueCheck(output.name, of, self._precision, self._max_elements, exact=exact)

    def _meaning(self, operation: Operation) -> Op:
        meaning = find(operation.type, self._ios)
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
        sources = (
            self._source(item, scope)
            if isinstance(item, str)
            else self._literals.written(item, step.operation, name)
            for item in bindings
        )
        argument = Argument(name, convert, tuple(sources))
        slots = argument.slots
        if not slots and convert not in MAY_BE_LARGE:
            step.known[name] = _known(step.operation, argument)
        elif not slots:
            step.constants.append(argument)
        elif len(bindings) == 1 and convert is AS_IS:
            step.direct.append((name, slots[0]))
        else:
            step.converted.append(argument)


def _known(operation: Operation, argument: Argument) -> Any:
    try:
        return argument.get([])
    except FAULTS as error:
        where = f"{operation.type} {operation.name}"
        raise refusal(f"{where}: its argument {argument.name}", error) from error


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
