"""A package run as a contract says: its names, shapes and types on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract, ImageInput, InputSpec, OutputSpec
from mobilesdk.coreml.classifier import read_classifier
from mobilesdk.coreml.images import pixels_of
from mobilesdk.coreml.package import Package
from mobilesdk.errors import ArtifactInvalid, UsageError

if TYPE_CHECKING:
    from mobilesdk.coreml.executor import Trace

Spec = InputSpec | OutputSpec


class ReferenceSession:
    """The default function of a package, executed by the reference executor.

    States go from run to run until `reset` if the contract has states; else every run is the first
    of a sequence. An input that the package takes as an image, and the contract as prepared
    numbers, is turned back into its pixels. Of a classifier, the probabilities are an output, in
    the order of its classes; the label is none.
    """

    def __init__(
        self,
        package: Package,
        contract: Contract,
        threads: int,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> None:
        """Load a package.

        Args:
            package: The package; its files must stay where they are.
            contract: What it has to hold to.
            threads: That the computation may use.
            inputs: The package's names in the contract's order; the contract's own if not given.
            outputs: The same for outputs.

        Raises:
            UnsupportedProgram: It has operations that are not known.
            ArtifactInvalid: Its inputs or outputs contradict the contract.
        """
        from mobilesdk.coreml.executor import Executable, use_threads
        from mobilesdk.coreml.precision import Precision

        use_threads(threads)
        self._executable = Executable(package, None, Precision(), low_memory=True)
        function = package.model.program.functions[self._executable.function]
        self._classifier = read_classifier(function)
        given = self._executable.output_names
        if self._classifier is not None:
            info = self._classifier.info
            renamed = {info.name_in(contract.outputs, given): info.probabilities}
            given = tuple(name for name in given if name != info.label)
            outputs = outputs or [renamed.get(item.name, item.name) for item in contract.outputs]
        self._inputs = _pair("inputs", contract.inputs, inputs, self._executable.input_names)
        self._outputs = _pair("outputs", contract.outputs, outputs, given)
        self._keeps_states = bool(contract.states)
        self.reset()
        self._images = frozenset(
            item.name for item in self._executable.inputs if item.color_layout is not None
        )

    @property
    def output_names(self) -> dict[str, str]:
        """The contract's name of each value that is an output, or that one is taken from."""
        found = {name: spec.name for name, spec in self._outputs}
        if self._classifier is not None:
            found[self._classifier.source] = found.pop(self._classifier.info.probabilities)
        return found

    def reset(self) -> None:
        """Begin a sequence: states are zeros before the next run."""
        self._states = self._executable.new_states()

    def run(
        self, inputs: Mapping[str, NDArray[Any]], *, trace: Trace | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run once on one sample; names, shapes and types are the contract's.

        Args:
            inputs: By name.
            trace: Called with every result.

        Raises:
            ArtifactInvalid: An id lies outside int32, an image has no whole pixels, the run fails,
                or an output is not as in the contract.
        """
        if not self._keeps_states:
            self.reset()
        given = {name: self._given(name, spec, inputs[spec.name]) for name, spec in self._inputs}
        try:
            found = self._executable.predict(given, states=self._states, trace=trace)
        except UsageError as error:
            raise ArtifactInvalid(error.message, hint=error.hint) from error
        return {spec.name: self._taken(name, spec, found[name]) for name, spec in self._outputs}

    def findings(self) -> tuple[str, ...]:
        """Name the first operation of the last run that made infinity of finite values, or NaN."""
        found = [item for item in self._executable.non_finite if not item.is_constant]
        return tuple(map(str, found[:1]))

    def _given(self, name: str, spec: InputSpec, values: NDArray[Any]) -> NDArray[Any]:
        if name in self._images and isinstance(spec.preparation, ImageInput):
            return pixels_of(values, spec.preparation)
        return values

    def _taken(self, name: str, spec: OutputSpec, value: Any) -> NDArray[Any]:
        if self._classifier is not None and name == self._classifier.info.probabilities:
            probabilities = np.array(list(value.values()), np.float32)
            fits = probabilities.size == prod(spec.shape)
            value = probabilities.reshape(spec.shape) if fits else probabilities
        return _checked(spec, value)


def _pair(
    what: str, specs: Sequence[Spec], names: Sequence[str], found: Sequence[str]
) -> list[tuple[str, Any]]:
    wanted = list(names) or [spec.name for spec in specs]
    if sorted(wanted) != sorted(found) or len(wanted) != len(specs):
        raise ArtifactInvalid(
            f"The package's {what} are {sorted(found)}, the contract's {sorted(wanted)}.",
            hint="build the package again from the model that the contract belongs to.",
        )
    return list(zip(wanted, specs, strict=True))


def _checked(spec: OutputSpec, value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or not spec.allows(value.shape):
        given = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else "no array"
        raise ArtifactInvalid(
            f"Output {spec.name!r} came as {given}, not {spec.dtype}{list(spec.shape)}."
        )
    if np.dtype(spec.dtype).kind != value.dtype.kind:
        raise ArtifactInvalid(f"Output {spec.name!r} came as {value.dtype}, not {spec.dtype}.")
    return value.astype(spec.dtype)
