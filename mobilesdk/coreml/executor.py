"""Execution of one function of an ML Program: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.coreml.compile import Compiler
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.images import allows, pixels, planes
from mobilesdk.coreml.interpret import NonFinite, Observer, Run
from mobilesdk.coreml.literals import Literals
from mobilesdk.coreml.memory import LARGE_BYTES, give_back, keep_little
from mobilesdk.coreml.model import Feature
from mobilesdk.coreml.ops.state import State
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.precision import Precision, carry, hand_out, round_float16
from mobilesdk.coreml.program import NamedType, Operation, StateType, TensorType, ValueType
from mobilesdk.coreml.results import ResultCheck, check_declared
from mobilesdk.coreml.run_limits import RunLimits
from mobilesdk.coreml.scan import ios_version, scan
from mobilesdk.errors import FileRejected, UnknownName, UnsupportedProgram, UsageError

# Called with the type and the name of an operation, the name of its result, and the result.
Trace = Callable[[str, str, str, NDArray[Any]], None]
States = dict[str, State]


class Executable:
    """A function of a package, ready to run on this machine's CPU.

    Attributes:
        function: Its name.
        precision: How arithmetic is done.
        limits: What a run may take.
        inputs: What `predict` takes, as the model describes it.
        outputs: What `predict` gives.
        input_names: Names of the inputs that are no states, in the order of the program.
        output_names: Names of the outputs, in the order of the program.
        unverifiable: Why its results cannot be known, one clause each; empty if they can.
        non_finite: Operations of the last run that made non-finite values from finite ones.
    """

    def __init__(
        self,
        package: Package,
        function: str | None,
        precision: Precision,
        limits: RunLimits = RunLimits(),  # noqa: B008  # frozen
    ) -> None:
        """Check and compile a function; see `mobilesdk.coreml.load`."""
        model = package.model
        self.function = function or model.default_function
        if self.function not in model.program.functions:
            raise UnknownName("function", self.function, model.program.functions)
        self.precision = precision
        self.limits = limits
        interface = model.interface(self.function)
        self.inputs, self.outputs = interface.inputs, interface.outputs
        self.non_finite: tuple[NonFinite, ...] = ()
        body = model.program.functions[self.function]
        self.unverifiable = scan(body)
        self._declared = {item.name: item for item in body.inputs}
        if len(self._declared) != len(body.inputs):
            raise FileRejected(f"ML Program: two inputs of {self.function!r} have one name.")
        self.input_names = tuple(
            item.name for item in body.inputs if not isinstance(item.type, StateType)
        )
        self._states = {
            item.name: _numbers(item.name, item.type.wrapped)
            for item in body.inputs
            if isinstance(item.type, StateType)
        }
        for name, wrapped in self._states.items():
            check_declared(f"state {name}", wrapped, limits.elements)
        self._types = _result_types(body.block.walk(), body.inputs)
        self.output_names = body.block.outputs
        largest_bytes = max(map(_size_bytes, self._types.values()), default=0)
        self._is_large = largest_bytes >= LARGE_BYTES
        if self._is_large:
            keep_little()
        if not self.unverifiable:
            literals = Literals(Constants(package, body), limits.elements)
            compiler = Compiler(literals, ios_version(body), precision, limits.elements)
            self._block = compiler.block(body.block, body.inputs, {})
            self._slot_count = compiler.slot_count

    @property
    def declared_inputs(self) -> tuple[NamedType, ...]:
        """Inputs that are no states, as the program declares them."""
        return tuple(self._declared[name] for name in self.input_names)

    def new_states(self) -> States:
        """Give states for a new sequence of runs, filled with zeros."""
        return {name: State(_zeros(wrapped)) for name, wrapped in self._states.items()}

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        states: States | None = None,
        trace: Trace | None = None,
    ) -> dict[str, Any]:
        """Run once.

        Args:
            inputs: By name. Arrays are converted to the declared type if that changes no value of
                an integer; an image is an array of uint8 [height, width, 3] in RGB order or
                [height, width] if it is grayscale.
            states: From `new_states`; needed if the function has states; changed by the run.
            trace: Called with every result.

        Returns:
            By name: arrays of the declared types (float32 for float16 in the precision
            ``float32``); an image as uint8 pixels; of a classifier, the label as a text and the
            probabilities as a dictionary.

        Raises:
            UsageError: Inputs or states are missing, unknown, or of the wrong shape or type.
            UnsupportedProgram: Its results cannot be known.
            LimitExceeded: It takes more than the limits allow.
            ArtifactInvalid: An operation cannot be computed, or a result is not as declared.
        """
        observe = None if trace is None else self._observer(trace)
        results = self._run(inputs, states, observe)
        return {
            name: self._handed_out(name, value)
            for name, value in zip(self.output_names, results, strict=True)
        }

    def intermediates(
        self, inputs: Mapping[str, Any], *, states: States | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run once and give the results of all operations by name; of loops, the last ones."""
        found: dict[str, NDArray[Any]] = {}

        def keep(_type: str, _operation: str, name: str, value: NDArray[Any]) -> None:
            found[name] = value

        self.predict(inputs, states=states, trace=keep)
        return found

    def _run(
        self, inputs: Mapping[str, Any], states: States | None, observe: Observer | None
    ) -> tuple[Any, ...]:
        if self.unverifiable:
            raise UnsupportedProgram(
                f"The results of {self.function!r} cannot be known: {'; '.join(self.unverifiable)}."
            )
        given = self._arguments(inputs, states or {})
        slot_count = self._slot_count
        run = Run([None] * slot_count, [True] * slot_count, self.limits.operations, observe)
        with torch.inference_mode():
            results = self._block.run(run, given)
        if self._is_large:  # it takes about a millisecond
            give_back()
        self.non_finite = tuple(run.non_finite)
        return results

    def _arguments(self, inputs: Mapping[str, Any], states: States) -> list[Any]:
        _same_names("inputs", inputs, self.input_names)
        _same_names("states", states, self._states)
        return [
            states[name] if name in states else self._carried(declared, inputs[name])
            for name, declared in self._declared.items()
        ]

    def _carried(self, declared: NamedType, given: Any) -> Tensor:
        of = _numbers(declared.name, declared.type)
        feature = _named(self.inputs, declared.name)
        array = np.asarray(given)
        if feature is not None and feature.color_layout is not None:
            array = planes(array, feature)
        elif feature is not None and not allows(feature, array.shape):
            raise UsageError(
                f"Wrong input: {declared.name!r} has the shape {list(array.shape)}.",
                hint=f"the model takes {feature.flexibility or list(feature.shape)}.",
            )
        if of.shape == () and array.shape == (1,):  # how Core ML passes a scalar
            array = array.reshape(())
        value = _convert(declared.name, array, of.element)
        if of.element is ElementType.FLOAT16 and self.precision.rounds:
            value = round_float16(value)
        try:
            checked: Tensor = ResultCheck(
                declared, self.precision, self.limits.elements, exact=True
            )(value)
        except ValueError as error:
            message = str(error).replace("the result", "the input")
            raise UsageError(f"Wrong input: {message}.") from error
        return checked

    def _handed_out(self, name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        array = self._array(name, value)
        feature = _named(self.outputs, name)
        if feature is not None and feature.color_layout is not None:
            return pixels(array, feature)
        return array

    def _array(self, name: str, value: Tensor) -> NDArray[Any]:
        declared = _numbers(name, self._types[name])
        return hand_out(value, self.precision.array_dtype(declared.element))

    def _observer(self, trace: Trace) -> Observer:
        def observe(operation: Operation, name: str, value: Any) -> None:
            if isinstance(value, Tensor):
                trace(operation.type, operation.name, name, self._array(name, value))

        return observe


def use_threads(count: int) -> None:
    """Let all computation of this process use so many threads."""
    torch.set_num_threads(count)


def _zeros(of: TensorType) -> Tensor:
    return carry(np.zeros(of.static_shape(), of.element.numpy), of.element)


def _result_types(operations: Iterable[Operation], inputs: tuple[NamedType, ...]) -> dict[str, Any]:
    types = {item.name: item.type for item in inputs}
    for operation in operations:
        types.update((item.name, item.type) for item in operation.outputs)
    return types


def _numbers(name: str, of: ValueType) -> TensorType:
    """Give a type as one of tensors of numbers.

    Raises:
        UnsupportedProgram: It is of something else.
    """
    if not isinstance(of, TensorType) or of.element is ElementType.STRING:
        raise UnsupportedProgram(f"{name!r} is not declared as a tensor of numbers.")
    return of


def _size_bytes(of: ValueType) -> int:
    """Give the bytes of a tensor of float32; free axes count as 1."""
    shape = of.shape if isinstance(of, TensorType) else None
    return 0 if shape is None else 4 * prod(size or 1 for size in shape)


def _named(features: tuple[Feature, ...], name: str) -> Feature | None:
    return next((item for item in features if item.name == name), None)


def _same_names(what: str, given: Mapping[str, Any], wanted: Iterable[str]) -> None:
    missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or unknown:
        raise UsageError(
            f"Wrong {what}: missing {missing}, unknown {unknown}.",
            hint=f"the function takes {sorted(wanted)}.",
        )


def _convert(name: str, array: NDArray[Any], element: ElementType) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise UsageError(f"Wrong input: {name!r} has the type {array.dtype}.")
    converted = array
    if not element.is_float:
        if array.dtype.kind == "f":
            raise UsageError(f"Wrong input: {name!r} has the type {array.dtype}, not {element}.")
        converted = array.astype(element.numpy)
        if not np.array_equal(converted, array):
            raise UsageError(f"Wrong input: {name!r} has values that do not fit {element}.")
    return carry(converted, element)
