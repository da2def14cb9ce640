"""Execution of blocks: operations compiled once to calls, run in order, each result checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mobilesdk.coreml.ops.arguments import Converter
from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.coreml.program import Operation
from mobilesdk.coreml.results import ResultCheck, is_finite, is_owned
from mobilesdk.errors import ArtifactInvalid, LimitExceeded

# Called with the operation, the name of the result and its value as carried.
Observer = Callable[[Operation, str, Any], None]
# What torch, numpy and Python raise for arguments that an operation cannot take.
FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Where a value comes from: a slot of the run, or a constant.
Source = int | Callable[[], Any]


@dataclass(frozen=True)
class NonFinite:
    """A result that is not finite although all that the operation was given is.

    Attributes:
        operation: Its name.
        op_type: Its type, e.g. ``mul``.
        result: Name of the result.
        count: Elements that are infinite or not a number.
        total: All elements.
    """

    operation: str
    op_type: str
    result: str
    count: int
    total: int

    def __str__(self) -> str:
        return (
            f"{self.op_type} {self.operation}: {self.count} of {self.total} values are not finite, "
            "though all it was given are."
        )


@dataclass
class Run:
    """One execution of a function.

    Attributes:
        slots: Values by slot; None before they are computed and after their last use.
        finite: Whether the value of a slot is finite, by slot.
        operations_left: How many more may be executed.
        observe: Called with every result.
        non_finite: Operations that made non-finite values from finite ones, in order.
    """

    slots: list[Any]
    finite: list[bool]
    operations_left: int
    observe: Observer | None = None
    non_finite: list[NonFinite] = field(default_factory=list)

    def spend(self, operation: Operation) -> None:
        """Count the execution of an operation, or of a block by it.

        Raises:
            LimitExceeded: It is one too many.
        """
        self.operations_left -= 1
        if self.operations_left < 0:
            raise LimitExceeded(
                f"{operation.type} {operation.name}: more operations in one run than the limit.",
                hint="a loop may not end; if the program needs as many, give load() higher limits.",
            )


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
    known: dict[str, Any]
    constants: list[Argument]
    direct: list[tuple[str, int]]
    converted: list[Argument]
    blocks: tuple[CompiledBlock, ...]
    outputs: tuple[tuple[int, ResultCheck], ...]
    spent: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()

    def run(self, run: Run) -> None:
        """Compute the results, check them, and free what is not needed any more.

        Raises:
            ArtifactInvalid: The operation cannot be computed, or a result is not as declared.
            LimitExceeded: A result would be larger than the limit, or the run takes too many.
        """
        run.spend(self.operation)
        slots = run.slots
        try:
            arguments = self._arguments(run)
            results = self._listed(self.function(**arguments))
            owned = [is_owned(value, arguments.values()) for value in results]
            del arguments
            for slot in self.spent:
                slots[slot] = None  # before the results are rounded, which needs memory
            for index, (slot, check) in enumerate(self.outputs):
                slots[slot] = check(results[index], owned=owned[index])
                results[index] = None
        except TooLarge as error:
            raise LimitExceeded(
                f"{self.operation.type} {self.operation.name}: {error}.",
                hint="if the program needs as many, give load() higher limits.",
            ) from error
        except FAULTS as error:
            raise ArtifactInvalid(
                f"{self.operation.type} {self.operation.name}: {error}"
            ) from error
        for slot, check in self.outputs:
            if check.is_float:
                run.finite[slot] = is_finite(slots[slot])
                if not run.finite[slot]:
                    self._report(run, check, slots[slot])
            if run.observe:
                run.observe(self.operation, check.name, slots[slot])
        for slot in self.unread:
            slots[slot] = None

    def _arguments(self, run: Run) -> dict[str, Any]:
        slots = run.slots
        if self.constants:
            for argument in self.constants:
                self.known[argument.name] = argument.get(slots)
            self.constants = []
        arguments = dict(self.known)
        for name, slot in self.direct:
            arguments[name] = slots[slot]
        for argument in self.converted:
            arguments[argument.name] = argument.get(slots)
        if self.blocks:
            arguments["blocks"] = tuple(block.bind(run, self.operation) for block in self.blocks)
        return arguments

    def _listed(self, results: Any) -> list[Any]:
        listed = list(results) if isinstance(results, tuple) else [results]
        if results is None:
            listed = []
        if len(listed) != len(self.outputs):
            raise ValueError(f"{len(listed)} results, {len(self.outputs)} declared")
        return listed

    def _report(self, run: Run, check: ResultCheck, value: Tensor) -> None:
        given = [slot for _, slot in self.direct]
        given += [slot for item in self.converted for slot in item.slots]
        constants = [value for value in self.known.values() if isinstance(value, Tensor)]
        if all(run.finite[slot] for slot in given) and all(map(is_finite, constants)):
            count = int(value.numel() - value.isfinite().sum())
            name, op_type = self.operation.name, self.operation.type
            run.non_finite.append(NonFinite(name, op_type, check.name, count, value.numel()))


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
        slots = run.slots
        for slot, value in zip(self.inputs, arguments, strict=True):
            slots[slot] = value
            run.finite[slot] = not isinstance(value, Tensor) or is_finite(value)
        for step in self.steps:
            step.run(run)
        return tuple(fetch(source, slots) for source in self.outputs)

    def bind(self, run: Run, operation: Operation) -> Callable[..., tuple[Any, ...]]:
        """Give the block as a function for an operation of this run."""

        def call(*arguments: Any) -> tuple[Any, ...]:
            run.spend(operation)
            return self.run(run, arguments)

        return call
