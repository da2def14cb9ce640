"""Execution of one function of an ML Program: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from math import prod
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.coreml.agreement import contradictions
from mobilesdk.coreml.compile import CompiledFunction, compile_function
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.faults import refusal
from mobilesdk.coreml.images import pixels
from mobilesdk.coreml.inputs import Inputs, States, numbers
from mobilesdk.coreml.interpret import Observer
from mobilesdk.coreml.literals import Literals
from mobilesdk.coreml.live_memory import LiveMemory
from mobilesdk.coreml.memory import LARGE_BYTES, give_back, keep_little
from mobilesdk.coreml.non_finite import NonFinite
from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.coreml.ops.state import restored_on_failure
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.precision import Precision, hand_out
from mobilesdk.coreml.program import NamedType, Operation, TensorType, ValueType
from mobilesdk.coreml.run_limits import RunLimits
from mobilesdk.coreml.scan import ios_version, scan
from mobilesdk.coreml.type_check import check_types
from mobilesdk.errors import ArtifactInvalid, UnknownName, UnsupportedProgram

# Called with the type and the name of an operation, the name of its result, and the result.
Trace = Callable[[str, str, str, NDArray[Any]], None]


class _TraceFailed(Exception):
    """A trace raised its cause; not to be taken for a fault of the operation around it."""


class Executable:
    """A function of a package, ready to run on this machine's CPU.

    Attributes:
        function: Its name.
        functions: Names of all functions of the package.
        precision: How arithmetic is done.
        limits: What a run may take.
        inputs: What `predict` takes, as the model describes it.
        outputs: What `predict` gives.
        input_names: Names of the inputs that are no states, in the order of the program.
        output_names: Names of the outputs, in the order of the program.
        unverifiable: Why its results cannot be known, one clause each; empty if they can.
        non_finite: What is not finite: the constants used so far that are stored so, then the
            operations of the last run that made non-finite values of finite ones, or NaN of
            infinite ones.
    """

    def __init__(
        self,
        package: Package,
        function: str | None,
        precision: Precision,
        limits: RunLimits = RunLimits(),  # noqa: B008  # frozen
        *,
        low_memory: bool = False,
    ) -> None:
        """Check and compile a function; see `mobilesdk.coreml.load`."""
        model = package.model
        self.function = function or model.default_function
        if self.function not in model.program.functions:
            raise UnknownName("function", self.function, model.program.functions)
        self.functions = tuple(model.program.functions)
        self.precision = precision
        self.limits = limits
        interface = model.interface(self.function)
        self.inputs, self.outputs = interface.inputs, interface.outputs
        self.non_finite: tuple[NonFinite, ...] = ()
        body = model.program.functions[self.function]
        _check_agreement(contradictions(model, self.function))
        self.unverifiable = scan(body)
        ios = ios_version(body)
        check_types(body, ios)
        self._given = Inputs(body.inputs, interface.inputs, precision, limits)
        self.input_names = tuple(item.name for item in self._given.arrays)
        self.output_names = body.block.outputs
        self._pictures = {item.name: item for item in interface.outputs if item.color_layout}
        self._labels = frozenset(
            item.outputs[0].name
            for item in body.block.walk()
            if item.type == "classify" and item.outputs
        )
        self._types = _result_types(body.block.walk(), body.inputs)
        largest_bytes = max(map(_size_bytes, self._types.values()), default=0)
        self._gives_back = low_memory and largest_bytes >= LARGE_BYTES
        if self._gives_back:
            keep_little()
        self._memory = LiveMemory(limits.memory_bytes)
        self._keep_states()
        self._literals = Literals(Constants(package, body), limits.elements, self._memory)
        self._compiled: CompiledFunction | None = None
        if not self.unverifiable:
            self._compiled = compile_function(body, self._literals, ios, precision, limits.elements)

    @property
    def declared_inputs(self) -> tuple[NamedType, ...]:
        """Inputs that are no states, as the program declares them."""
        return self._given.arrays

    @property
    def states(self) -> tuple[NamedType, ...]:
        """States that the function reads or writes, with the types of their values."""
        return tuple(NamedType(name, of) for name, of in self._given.states.items())

    def new_states(self) -> States:
        """Give states for a new sequence of runs, filled with zeros."""
        return self._given.new_states()

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        states: States | None = None,
        trace: Trace | None = None,
        watched: Container[str] | None = None,
    ) -> dict[str, Any]:
        """Run once.

        Args:
            inputs: By name. Arrays are converted to the declared type; floats are rounded to it,
                integers must keep their values, and what is finite must stay so. An image is an
                array of uint8 [height, width, 3] in RGB order or [height, width] if it is
                grayscale.
            states: From `new_states`; needed if the function has states; changed by the run, and
                left as they were by one that fails.
            trace: Called with every result that is a tensor; what it raises ends the run.
            watched: Names of the results that ``trace`` is called with, if not with every one.

        Returns:
            By name: arrays of the declared types (float32 for float16 in the precision
            ``float32``); an image as uint8 pixels; of a classifier, the label as a text or an
            integer of Python, and the probabilities as a dictionary by label.

        Raises:
            UsageError: Inputs or states are missing, unknown, or of the wrong shape or type.
            UnsupportedProgram: Its results cannot be known.
            LimitExceeded: It takes more than the limits allow.
            ArtifactInvalid: An operation cannot be computed, or a result is not as declared.
        """
        observe = None if trace is None else self._observer(trace, watched)
        compiled = self._compiled
        if compiled is None:
            raise UnsupportedProgram(
                f"The results of {self.function!r} cannot be known: {'; '.join(self.unverifiable)}."
            )
        given = self._given.read(inputs, {} if states is None else states)
        with restored_on_failure(given):
            results = self._run(compiled, given, observe)
            return {
                name: self._handed_out(name, value)
                for name, value in zip(self.output_names, results, strict=True)
            }

    def intermediates(
        self, inputs: Mapping[str, Any], *, states: States | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run once and give the results of all operations by name; of loops, the last ones.

        Only tensors are among them: no lists, no texts, no dictionary of a classifier.
        """
        found: dict[str, NDArray[Any]] = {}

        def keep(_type: str, _operation: str, name: str, value: NDArray[Any]) -> None:
            found[name] = value

        self.predict(inputs, states=states, trace=keep)
        return found

    def _run(
        self, compiled: CompiledFunction, given: list[Any], observe: Observer | None
    ) -> tuple[Any, ...]:
        run = compiled.new_run(self.limits.operations, self._memory, observe)
        try:
            with torch.inference_mode():
                return compiled.block.run(run, given)
        except TooLarge as error:
            raise refusal("The inputs", error) from error
        except _TraceFailed as failed:
            raise failed.__cause__ or failed from None
        finally:
            self.non_finite = (*self._literals.non_finite, *run.non_finite.values())
            self._memory.forget_run()
            if self._gives_back:  # it takes about a millisecond
                give_back()

    def _keep_states(self) -> None:
        held_bytes = 2 * self._given.state_bytes  # those before a run are kept until its end
        try:
            self._memory.check_room(held_bytes)
        except TooLarge as error:
            raise refusal("The states", error) from error
        self._memory.keep(held_bytes)

    def _handed_out(self, name: str, value: Any) -> Any:
        if isinstance(value, (str, dict)):
            return value
        if not isinstance(value, Tensor):
            raise ArtifactInvalid(f"The output {name!r} is a {type(value).__name__}.")
        array = self._array(name, self._types[name], value)
        if name in self._labels:
            return array.item()
        feature = self._pictures.get(name)
        return array if feature is None else pixels(array, feature)

    def _array(self, name: str, of: ValueType, value: Tensor) -> NDArray[Any]:
        declared = numbers(name, of)
        return hand_out(value, self.precision.array_dtype(declared.element))

    def _observer(self, trace: Trace, watched: Container[str] | None) -> Observer:
        def observe(operation: Operation, name: str, value: Any) -> None:
            if not isinstance(value, Tensor) or (watched is not None and name not in watched):
                return
            declared = next(item.type for item in operation.outputs if item.name == name)
            array = self._array(name, declared, value)
            try:
                trace(operation.type, operation.name, name, array)
            except Exception as error:
                raise _TraceFailed from error

        return observe


def _check_agreement(found: tuple[str, ...]) -> None:
    if found:
        raise ArtifactInvalid(
            " ".join(found),
            hint="the package is damaged or was written wrongly: convert the model again.",
        )


def use_threads(count: int) -> None:
    """Let all computation of this process use so many threads."""
    torch.set_num_threads(count)


def _result_types(operations: Iterable[Operation], inputs: tuple[NamedType, ...]) -> dict[str, Any]:
    types = {item.name: item.type for item in inputs}
    for operation in operations:
        types.update((item.name, item.type) for item in operation.outputs)
    return types


def _size_bytes(of: ValueType) -> int:
    """Give the bytes of a tensor of float32; free axes count as 1."""
    shape = of.shape if isinstance(of, TensorType) else None
    return 0 if shape is None else 4 * prod(size or 1 for size in shape)
