"""What a function is given: arrays as the values that it carries, and states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.images import allows, planes
from mobilesdk.coreml.model import Feature
from mobilesdk.coreml.non_finite import is_finite
from mobilesdk.coreml.ops.state import State
from mobilesdk.coreml.precision import Precision, carrier, carry, round_float16
from mobilesdk.coreml.program import NamedType, StateType, TensorType, ValueType
from mobilesdk.coreml.results import ValueCheck, check_declared
from mobilesdk.coreml.run_limits import RunLimits
from mobilesdk.errors import FileRejected, UnsupportedProgram, UsageError

States = dict[str, State]


class Inputs:
    """The inputs of a function, states among them, in the order of the program.

    Attributes:
        arrays: Those that are no states, as the program declares them.
        states: Types of the states by name.
        state_bytes: What new states take.
    """

    def __init__(
        self,
        declared: Sequence[NamedType],
        features: Sequence[Feature],
        precision: Precision,
        limits: RunLimits,
    ) -> None:
        """Prepare to read them.

        Args:
            declared: As the program declares them.
            features: As the model describes them to an app.
            precision: How arithmetic is done.
            limits: What a run may take.

        Raises:
            FileRejected: Two have one name.
            UnsupportedProgram: One is of something else than numbers.
            LimitExceeded: A state is too large.
        """
        self._names = tuple(item.name for item in declared)
        if len(set(self._names)) != len(self._names):
            raise FileRejected(f"ML Program: two inputs of a function have one name: {self._names}")
        self.arrays = tuple(item for item in declared if not isinstance(item.type, StateType))
        self.states = {
            item.name: numbers(item.name, item.type.wrapped)
            for item in declared
            if isinstance(item.type, StateType)
        }
        for name, of in self.states.items():
            check_declared(f"state {name}", of, limits.elements)
        self.state_bytes = sum(
            prod(of.static_shape()) * carrier(of.element).itemsize for of in self.states.values()
        )
        described = {item.name: item for item in features}
        self._readers = {
            item.name: _ArrayReader(item, described.get(item.name), precision, limits.elements)
            for item in self.arrays
        }

    def new_states(self) -> States:
        """Give states filled with zeros."""
        return {
            name: State(carry(np.zeros(of.static_shape(), of.element.numpy), of.element), of)
            for name, of in self.states.items()
        }

    def read(self, inputs: Mapping[str, Any], states: Mapping[str, Any]) -> list[Any]:
        """Give the values that the function carries, in the order of the program.

        Raises:
            UsageError: Some are missing, unknown, or of the wrong shape or type.
        """
        _same_names("inputs", inputs, self._readers)
        _same_names("states", states, self.states)
        return [
            self._state(name, states[name])
            if name in self.states
            else self._readers[name].read(inputs[name])
            for name in self._names
        ]

    def _state(self, name: str, given: Any) -> State:
        wanted = self.states[name]
        if not isinstance(given, State):
            told = f"an object of the type {type(given).__name__}"
        elif given.declared != wanted:
            told = f"a state of {_told(given.declared)}, not of {_told(wanted)}"
        else:
            return given
        raise UsageError(
            f"Wrong state: {name!r} is {told}.",
            hint="make the states of a sequence with new_states() of this model, and pass them to "
            "every run of it.",
        )


class _ArrayReader:
    """How one array is read."""

    def __init__(
        self, named: NamedType, feature: Feature | None, precision: Precision, max_elements: int
    ) -> None:
        of = numbers(named.name, named.type)
        self.name, self.declared, self.feature = named.name, of, feature
        self.rounds = of.element is ElementType.FLOAT16 and precision.rounds
        self.check = ValueCheck(self.name, of, precision, max_elements, exact=True, what="input")

    def read(self, given: Any) -> Tensor:
        element = self.declared.element
        array = self._shaped(_array(self.name, given))
        value = _converted(self.name, array, element)
        if self.rounds:
            value = round_float16(value)
        if not is_finite(value) and not np.array_equal(
            np.isfinite(array), value.isfinite().numpy()
        ):
            raise UsageError(
                f"Wrong input: {self.name!r} has values beyond the range of {element}."
            )
        if element.is_float and array.dtype.kind in "iu" and not _same_integers(value, array):
            raise UsageError(
                f"Wrong input: {self.name!r} has integers that {element} does not have exactly."
            )
        try:
            checked: Tensor = self.check(value)
        except ValueError as error:
            raise UsageError(f"Wrong input: {error}.") from error
        return checked

    def _shaped(self, array: NDArray[Any]) -> NDArray[Any]:
        feature = self.feature
        if feature is not None and feature.color_layout is not None:
            array = planes(array, feature)
        elif feature is not None and not allows(feature, array.shape):
            raise UsageError(
                f"Wrong input: {self.name!r} has the shape {list(array.shape)}.",
                hint=f"the model takes {feature.flexibility or list(feature.shape)}.",
            )
        if self.declared.shape == () and array.shape == (1,):  # how Core ML passes a scalar
            array = array.reshape(())
        return array


def numbers(name: str, of: ValueType) -> TensorType:
    """Give a type as one of tensors of numbers.

    Raises:
        UnsupportedProgram: It is of something else.
    """
    if not isinstance(of, TensorType) or of.element is ElementType.STRING:
        raise UnsupportedProgram(f"{name!r} is not declared as a tensor of numbers.")
    return of


def _told(of: TensorType) -> str:
    return f"{of.element}{list(of.shape or ())}"


def _same_names(what: str, given: object, wanted: Iterable[str]) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(
            f"Wrong {what}: an object of the type {type(given).__name__}.",
            hint=f"give a dictionary with the names {sorted(wanted)}.",
        )
    missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted), key=repr)
    if missing or unknown:
        takes = f"the function takes {sorted(wanted)}."
        if what == "states" and missing:
            takes += " Pass states=model.new_states(), and the same ones to the runs that follow."
        raise UsageError(f"Wrong {what}: missing {missing}, unknown {unknown}.", hint=takes)


def _array(name: str, given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"Wrong input: {name!r} cannot be read as an array: {error}",
            hint="give a numpy array; of a torch tensor, tensor.detach().cpu().numpy().",
        ) from error


def _same_integers(value: Tensor, array: NDArray[Any]) -> bool:
    return bool(np.array_equal(value.long().numpy(), array))


def _converted(name: str, array: NDArray[Any], element: ElementType) -> Tensor:
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
