"""A sample is run once, also if it is a golden; the results are those of its own run."""

from __future__ import annotations

import numpy as np
import pytest

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.step import StepContext
from mobilesdk.verify.runs import Runs

CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(2,), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(2,), dtype="float32", kind="other"),),
)


class Doubles:
    """A session that remembers what it ran, and finds fault with infinity."""

    def __init__(self):
        self.ran = []

    def run(self, inputs):
        self.ran.append(inputs["x"].tolist())
        return {"y": 2 * inputs["x"]}

    def findings(self):
        return () if np.isfinite(self.ran[-1]).all() else ("infinite",)


class Set(list):
    digest = ""


@pytest.fixture
def context(tmp_path):
    return StepContext(tmp_path, threads=1, seed=0, report=lambda *_: None)


def verified(goldens, samples, context):
    session = Doubles()
    runs = Runs(session, CONTRACT)
    runs.goldens({"x": np.array(goldens, np.float32)})
    found = runs.evaluation(Set({"x": np.array(each, np.float32)} for each in samples), context)
    assert found["y"].tolist() == [[2 * value for value in each] for each in samples]
    assert runs.count == len(session.ran)
    return session.ran, runs


def test_samples_that_are_goldens_are_not_run_again(context):
    ran, _ = verified([[1, 2], [3, 4]], [[1, 2], [3, 4], [5, 6]], context)
    assert ran == [[1, 2], [3, 4], [5, 6]]


def test_samples_that_differ_from_the_goldens_are_run(context):
    ran, _ = verified([[1, 2], [3, 4]], [[1, 3], [-3, 4], [1, 2]], context)
    assert ran == [[1, 2], [3, 4], [1, 3], [-3, 4], [1, 2]]


def test_a_negative_zero_is_another_sample(context):
    ran, _ = verified([[0.0, 1]], [[-0.0, 1]], context)
    assert len(ran) == 2


def test_what_was_wrong_with_a_golden_counts_once(context):
    infinite = [np.inf, 1.0]
    _, runs = verified([infinite], [infinite], context)
    assert (runs.count, runs.non_finite_count) == (1, 1)
    assert runs.first_non_finite == "golden 0: infinite"
