"""Execution of blocks: operations compiled once to calls, run in order, each result checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mobilesdk.coreml.faults import FAULTS, HIGHER_LIMITS_HINT, reason, refusal, told
from mobilesdk.coreml.live_memory import LiveMemory
from mobilesdk.coreml.non_finite import NonFinite, found_in, has_nan, is_finite
from mobilesdk.coreml.ops.arguments import Converter
from mobilesdk.coreml.ops.registry import OpError
from mobilesdk.coreml.program import Operation
from mobilesdk.coreml.results import Unchecked, ValueCheck, is_owned
from mobilesdk.errors import LimitExceeded

# Called with the operation, the name of the result and its value as carried.
Observer = Callable[[Operation, str, Any], None]
# Where a value comes from: a slot of the run, or a constant.
Source = int | Callable[[], Any]
Check = ValueCheck | Unchecked


@dataclass
class Run:
    """One execution of a function.

    Attributes:
        slots: Values by slot; None before they are computed and after their last use.
        finite: Whether the value of a slot is finite, by slot.
        nan: Whether it has NaN, by slot.
        operations_left: How many more may be executed.
        memory: What the values in the slots take.
        observe: Called with every result.
        non_finite: By result, in order: the first time that an operation made it not finite of
            values that are, or NaN of values that are none.
    """

    slots: list[Any]
    finite: list[bool]
    nan: list[bool]
    operations_left: int
    memory: LiveMemory
    observe: Observer | None = None
    non_finite: dict[str, NonFinite] = field(default_factory=dict)

    def spend(self, operation: Operation) -> None:
        """Count the execution of an operation, or of a block by it.

        Raises:
            LimitExceeded: It is one too many.
        """
        self.operations_left -= 1
        if self.operations_left < 0:
            raise LimitExceeded(
                f"{operation.type} {operation.name}: more operations in one run than the limit.",
                hint=f"a loop may not end; {HIGHER_LIMITS_HINT}",
            )

    def put(self, slot: int, value: Any) -> None:
        """Store a value; in a loop, in place of that of the pass before.

        Raises:
            TooLarge: All values together take more memory than the limit.
        """
        self.memory.put(slot, value)
        self.slots[slot] = value

    def look_at(self, slot: int) -> None:
        """Tell whether the value of a slot is finite; if it is not, whether it has NaN."""
        value = self.slots[slot]
        self.finite[slot] = is_finite(value)
        self.nan[slot] = not self.finite[slot] and has_nan(value)

    def free(self, slot: int) -> None:
        """Forget a value."""
        self.memory.free(slot)
        self.slots[slot] = None


def fetch(source: Source, slots: list[Any]) -> Any:
    """Give the value of a source."""
    return slots[source] if isinstance(source, int) else source()


@dataclass
class Argument:
    """An argument that is not known before the run, or is decoded only then.

    Attributes:
        name: Of the parameter.
        convert: To what the function is given.
        sources: Of the values that are bound to it.
    """

    name: str
    convert: Converter
    sources: tuple[Source, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """Slots that it is read from."""
        return tuple(source for source in self.sources if isinstance(source, int))

    def get(self, slots: list[Any]) -> Any:
        """Give the argument for a run."""
        return self.convert([fetch(source, slots) for source in self.sources])


@dataclass
class Step:
    """One operation, ready to be called.

    Attributes:
        operation: As in the program.
        function: Computes it.
        hands_on: Whether its results are values that other operations made.
        known: Arguments that are the same in every run.
        constants: Constant tensors, decoded in the first run.
        direct: Tensors given as they are: parameter and slot.
        converted: Other arguments.
        blocks: Nested blocks; given to the function as ``blocks`` if it takes them.
        outputs: Slot and check of each result.
        spent: Slots that it is the last to read.
        unread: Slots of its results that nothing reads.
    """

    operation: Operation
    function: Callable[..., Any]
    hands_on: bool
    known: dict[str, Any] = field(default_factory=dict)
    constants: list[Argument] = field(default_factory=list)
    direct: list[tuple[str, int]] = field(default_factory=list)
    converted: list[Argument] = field(default_factory=list)
    blocks: tuple[CompiledBlock, ...] = ()
    outputs: tuple[tuple[int, Check], ...] = ()
    spent: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()

    def run(self, run: Run) -> None:
        """Compute the results, check them, and free what is not needed any more.

        Raises:
            ArtifactInvalid: The operation cannot be computed, or a result is not as declared.
            LimitExceeded: A result would be larger than the limit, or the run takes too many.
        """
        run.spend(self.operation)
        try:
            arguments = self._arguments(run)
            results = self._listed(self._called(arguments))
            owned = [is_owned(value, arguments.values()) for value in results]
            del arguments
            for slot in self.spent:
                run.free(slot)  # before the results are rounded, which needs memory
            for index, (slot, check) in enumerate(self.outputs):
                run.put(slot, check(results[index], owned=owned[index]))
                results[index] = None
        except FAULTS as error:
            raise refusal(f"{self.operation.type} {self.operation.name}", error) from error
        self._look_at_results(run)
        for slot in self.unread:
            run.free(slot)

    def _arguments(self, run: Run) -> dict[str, Any]:
        slots = run.slots
        if self.constants:
            for argument in self.constants:
                self.known[argument.name] = argument.get(slots)
            self.constants = []
        arguments = dict(self.known)
        for name, slot in self.direct:
            value = slots[slot]
            if not isinstance(value, Tensor):
                raise ValueError(f"something that is no tensor as its argument {name}")
            arguments[name] = value
        for argument in self.converted:
            arguments[argument.name] = argument.get(slots)
        if self.blocks:
            arguments["blocks"] = tuple(block.bind(run, self.operation) for block in self.blocks)
        return arguments

    def _called(self, arguments: dict[str, Any]) -> Any:
        try:
            return self.function(**arguments)
        except OpError:
            raise
        except (IndexError, ValueError) as error:  # of torch or Python; tells no argument
            raise OpError(f"{reason(error)}; given {told(arguments)}") from error

    def _listed(self, results: Any) -> list[Any]:
        listed = list(results) if isinstance(results, tuple) else [results]
        if results is None:
            listed = []
        if len(listed) != len(self.outputs):
            raise ValueError(f"{len(listed)} results, {len(self.outputs)} declared")
        return listed

    def _look_at_results(self, run: Run) -> None:
        operation = self.operation
        for slot, check in self.outputs:
            if check.is_float:
                run.look_at(slot)
                if not run.finite[slot] and not self.hands_on:
                    self._note(run, slot, check.name)
            if run.observe:
                run.observe(operation, check.name, run.slots[slot])

    def _note(self, run: Run, slot: int, name: str) -> None:
        """Note a result that is not finite, if what it was given does not explain it."""
        constants = (*self.known.values(), *self._constants_among_others())
        given_finite = all(run.finite[each] for each in self._slots_read()) and all(
            map(is_finite, constants)
        )
        if given_finite or (run.nan[slot] and not self._was_given_nan(run, constants)):
            operation = self.operation
            found = found_in(
                run.slots[slot],
                operation.name,
                operation.type,
                name,
                of_infinity=not given_finite,
            )
            run.non_finite.setdefault(name, found)

    def _was_given_nan(self, run: Run, constants: Iterable[Any]) -> bool:
        return any(run.nan[each] for each in self._slots_read()) or any(map(has_nan, constants))

    def _slots_read(self) -> Iterator[int]:
        yield from (slot for _, slot in self.direct)
        for argument in self.converted:
            yield from argument.slots

    def _constants_among_others(self) -> Iterator[Any]:
        for argument in self.converted:
            yield from (source() for source in argument.sources if not isinstance(source, int))


@dataclass
class CompiledBlock:
    """A block, ready to be run.

    Attributes:
        inputs: Slots of its own inputs.
        steps: Its operations; constants are none.
        outputs: Sources of its results.
    """

    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Source, ...]

    def run(self, run: Run, arguments: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Run with arguments for its inputs; give its results."""
        for slot, value in zip(self.inputs, arguments, strict=True):
            run.put(slot, value)
            run.look_at(slot)
        for step in self.steps:
            step.run(run)
        return tuple(fetch(source, run.slots) for source in self.outputs)

    def bind(self, run: Run, operation: Operation) -> Callable[..., tuple[Any, ...]]:
        """Give the block as a function for an operation of this run."""

        def call(*arguments: Any) -> tuple[Any, ...]:
            run.spend(operation)
            return self.run(run, arguments)

        return call
