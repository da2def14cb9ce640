"""Ranges of activations, observed in a written package by the reference executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.scheme import Observer
from mobilesdk.core.step import Samples
from mobilesdk.coreml.executor import Executable, use_threads
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.precision import Precision
from mobilesdk.numerics.ranges import RangeObserver


def observe_ranges(
    package: Path,
    contract: Contract,
    samples: Samples,
    values: Mapping[str, str],
    kind: Observer,
    *,
    threads: int,
    progress: Callable[[int], None],
) -> dict[str, tuple[float, float]]:
    """Run a package on every sample; values are looked at as they come, and not kept.

    Args:
        package: With float activations.
        contract: Its inputs.
        samples: All of them are used.
        values: Name of each value to observe → name that its range goes by; several may share one.
        kind: How a range follows from the values.
        threads: How many threads may be used.
        progress: Called with the number of samples done.

    Returns:
        Range by the name that it goes by: lower end, upper end.

    Raises:
        StepFailed: There are no samples, or a value is not finite.
        UnsupportedProgram: The package has operations whose results cannot be known.
    """
    use_threads(threads)
    executable = Executable(Package(package), None, Precision(), low_memory=True)
    watch = _Watch(values, kind)
    for index, sample in enumerate(samples):
        watch.sample = index
        inputs = {spec.name: sample[spec.name] for spec in contract.inputs}
        for name, value in inputs.items():
            watch("", name, name, value)
        executable.predict(inputs, trace=watch, watched=values)
        progress(index + 1)
    return {name: observer.range() for name, observer in watch.observers.items()}


class _Watch:
    """Shows values to observers as they come; called as `Executable.predict` calls its trace.

    Attributes:
        observers: By the name that a range goes by.
        sample: Place of the sample in the calibration set, from 0.
    """

    def __init__(self, values: Mapping[str, str], kind: Observer) -> None:
        self._values = values
        self.observers = {name: RangeObserver(kind, symmetric=True) for name in values.values()}
        self.sample = 0

    def __call__(self, _type: str, operation: str, name: str, value: NDArray[Any]) -> None:
        if name in self._values:
            self.observers[self._values[name]].update(value, operation, self.sample)
