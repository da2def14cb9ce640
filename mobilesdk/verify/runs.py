"""Run an artifact on samples: what it gives, and what was wrong with its numbers on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.data.goldens import flattened, grouped
from mobilesdk.data.sample import run_sequence
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.plugins import RuntimeSession, StatefulSession

Arrays = dict[str, NDArray[Any]]


class Runs:
    """All runs of one loaded artifact.

    A sample of the set that is a golden as well is run once: the goldens are its first samples.

    Attributes:
        count: Of runs.
        non_finite_count: Of runs in which an op made infinity of finite numbers, or NaN.
        first_non_finite: The first of them, e.g. ``golden 2: mul scaled: 1 of 8 values are not
            finite, …``; empty if there is none, or if the runtime shows no values.
    """

    def __init__(self, session: RuntimeSession, contract: Contract) -> None:
        """Run a session of a model; with states, a sample is a sequence of steps.

        Raises:
            ArtifactInvalid: The model has states, and the runtime keeps none.
        """
        self._session = session
        if contract.states and not isinstance(session, StatefulSession):
            raise ArtifactInvalid(
                "The model has states, and this runtime keeps none from run to run.",
                hint="its session needs a method reset(); see docs/plugins.md.",
            )
        self._is_stateful = bool(contract.states)
        self._goldens: list[tuple[Mapping[str, NDArray[Any]], Arrays]] = []
        self.count = 0
        self.non_finite_count = 0
        self.first_non_finite = ""

    def goldens(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run samples that are stacked along a first axis; stack the outputs likewise.

        Args:
            inputs: Of all sizes that are judged; see `mobilesdk.data.goldens`.
        """
        return flattened(
            {group: self._golden_group(arrays, group) for group, arrays in grouped(inputs).items()}
        )

    def _golden_group(self, inputs: Mapping[str, NDArray[Any]], group: str) -> Arrays:
        count = len(next(iter(inputs.values())))
        where = f" at {group}" if group else ""
        samples = [{name: inputs[name][index] for name in inputs} for index in range(count)]
        rows = [self._run(sample, f"golden {index}{where}") for index, sample in enumerate(samples)]
        if not group:
            self._goldens = list(zip(samples, rows, strict=True))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def evaluation(self, samples: Samples, context: StepContext) -> Arrays:
        """Run a set; give the outputs stacked along a first axis, ``[samples, *shape]``."""
        outputs: Arrays = {}
        for index, sample in enumerate(samples):
            found = self._of_golden(index, sample)
            if found is None:
                found = self._run(sample, f"evaluation sample {index}")
            for name, values in found.items():
                if name not in outputs:
                    outputs[name] = np.empty((len(samples), *values.shape), values.dtype)
                outputs[name][index] = values
            context.report("running the artifact", (index + 1) / len(samples))
        return outputs

    def _of_golden(self, index: int, sample: Mapping[str, NDArray[Any]]) -> Arrays | None:
        """Give what a sample gave as a golden, if it is that golden to the last bit."""
        if index >= len(self._goldens):
            return None
        inputs, outputs = self._goldens[index]
        same = all(_same(inputs[name], values) for name, values in sample.items())
        return outputs if same else None

    def _run(self, inputs: Mapping[str, NDArray[Any]], name: str) -> Arrays:
        self.count += 1
        findings: list[str] = []

        def run(given: Mapping[str, NDArray[Any]]) -> Arrays:
            outputs = self._session.run(given)
            findings.extend(self._session.findings())
            return outputs

        if self._is_stateful and isinstance(self._session, StatefulSession):
            self._session.reset()
            outputs = run_sequence(run, inputs)
        else:
            outputs = run(inputs)
        if findings:
            self.non_finite_count += 1
            said = " ".join(dict.fromkeys(findings))
            self.first_non_finite = self.first_non_finite or f"{name}: {said}"
        return outputs


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype) and one.tobytes() == other.tobytes()
