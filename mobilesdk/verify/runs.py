"""Run an artifact on samples: what it gives, and what was wrong with its numbers on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.step import Samples, StepContext
from mobilesdk.plugins import RuntimeSession

Arrays = dict[str, NDArray[Any]]


class Runs:
    """All runs of one loaded artifact.

    Attributes:
        count: Of runs.
        non_finite_count: Of runs in which an op made infinity of finite numbers, or NaN.
        first_non_finite: The first of them, e.g. ``golden 2: mul scaled: 1 of 8 values are not
            finite, …``; empty if there is none, or if the runtime shows no values.
    """

    def __init__(self, session: RuntimeSession) -> None:
        self._session = session
        self.count = 0
        self.non_finite_count = 0
        self.first_non_finite = ""

    def goldens(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run samples that are stacked along a first axis; stack the outputs likewise."""
        count = len(next(iter(inputs.values())))
        rows = [
            self._run({name: inputs[name][index] for name in inputs}, f"golden {index}")
            for index in range(count)
        ]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def evaluation(self, samples: Samples, context: StepContext) -> Arrays:
        """Run a set; give the outputs stacked along a first axis, ``[samples, *shape]``."""
        outputs: Arrays = {}
        for index, sample in enumerate(samples):
            for name, values in self._run(sample, f"evaluation sample {index}").items():
                if name not in outputs:
                    outputs[name] = np.empty((len(samples), *values.shape), values.dtype)
                outputs[name][index] = values
            context.report("running the artifact", (index + 1) / len(samples))
        return outputs

    def _run(self, inputs: Mapping[str, NDArray[Any]], name: str) -> Arrays:
        outputs = self._session.run(inputs)
        self.count += 1
        findings = self._session.findings()
        if findings:
            self.non_finite_count += 1
            self.first_non_finite = self.first_non_finite or f"{name}: {' '.join(findings)}"
        return outputs
