"""The pytest plug-in that gives Apple's tests a Core ML: predictions through our executor.

It is loaded with ``-p``, after `disguise`, in a process of its own, replaces ``MLModel.predict``,
``MLModel.make_state`` and the comparison, and writes each outcome as a line of JSON. Limits are
never wider than those of Apple's test for the same case. A case that Apple ends early for a fault
of its own runtime goes on to the end.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import testing_utils
from coremltools.converters.mil.mil.ops.tests import testing_utils as op_testing_utils

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.executor import Executable
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.precision import Precision
from mobilesdk.coreml.program import Function, TensorType
from mobilesdk.errors import ArtifactInvalid
from tests.coreml.conformance.known_failures import FLOAT16_IN_FLOAT32
from tests.coreml.conformance.limits import (
    FLOAT32_LIMIT,
    Limits,
    apple_limits,
    differing,
    float16_limits,
    is_of_other_type,
)

CASES_PER_TEST, LOG = "CONFORMANCE_CASES_PER_TEST", "CONFORMANCE_LOG"
# What Core ML's own error says; some tests look for it.
RUNTIME_ERROR = "Unable to compute the prediction using ML Program"
# Reasons that name an entry of Apple's list of faults.
APPLE_FAULT = "rdar://"

# They hold the converter to 0.01 s, and run nothing.
TIMED = ("test_efficient_type_inference",)

# What cases leave behind is left out of garbage collection too, now and then: after some thousand
# cases, nearly all of the time went into looking at it again.
CASES_PER_FREEZE = 50

ran_ops: set[str] = set()
cases = itertools.count(1)


@dataclass
class Running:
    """What is known of the case that runs."""

    excused: bool = False  # Apple ends it early, or expects it to fail, for a fault of its runtime
    predicted: bool = False
    unattainable: bool = False  # the values that the program holds cannot meet Apple's limits


running = Running()


def predict(self: Any, data: dict[str, Any], state: Any = None, **_options: Any) -> dict[str, Any]:
    """Give what ``MLModel.predict`` gives on a Mac."""
    return _predict(self, data, state, Precision())


def _predict(model: Any, data: dict[str, Any], state: Any, precision: Precision) -> dict[str, Any]:
    executable, body = _loaded(model, precision)
    running.predicted = True
    ran_ops.update(operation.type for operation in body.block.walk())
    if executable.unverifiable:
        pytest.skip(f"unverifiable: {'; '.join(executable.unverifiable)}")
    declared = {item.name: item.type for item in body.inputs}
    images = {item.name for item in executable.inputs if item.kind == "image"}
    inputs = {
        name: _pixels(value) if name in images else _array(value, declared[name])
        for name, value in data.items()
    }
    try:
        outputs = executable.predict(inputs, states=state)
    except ArtifactInvalid as error:
        raise RuntimeError(f"{RUNTIME_ERROR}: {error}") from error
    return {name: _output(value) for name, value in outputs.items()}


def make_state(self: Any) -> Any:
    """Give what ``MLModel.make_state`` gives on a Mac."""
    return _loaded(self, Precision())[0].new_states()


def compare_backend(
    mlmodel: Any,
    input_key_values: dict[str, Any],
    expected_outputs: dict[str, Any] | None,
    dtype: str = "fp32",
    atol: float = 1e-4,
    rtol: float = 1e-5,
    also_compare_shapes: bool = True,
    state: Any = None,
    allow_mismatch_ratio: float = 0.0,
) -> dict[str, Any]:
    """Predict and compare, with the narrower of this project's limits and Apple's."""
    found = testing_utils.run_core_ml_predict(mlmodel, input_key_values, state)
    rounded = dtype == "fp16" or _uses_float16(mlmodel)
    apple = apple_limits(
        dtype == "fp16" or mlmodel.compute_unit != ct.ComputeUnit.CPU_ONLY, atol, rtol
    )
    misses: dict[str, tuple[Any, Any, Limits]] = {}
    for name, expected in (expected_outputs or {}).items():
        value = testing_utils._get_coreml_out_from_dict(found, name)
        if not isinstance(value, np.ndarray):
            assert value == expected
            continue
        wanted = np.atleast_1d(np.asarray(expected))
        if also_compare_shapes:
            assert value.shape == wanted.shape
        own = float16_limits(wanted) if rounded else (FLOAT32_LIMIT, FLOAT32_LIMIT)
        limits = min(own[0], apple[0]), min(own[1], apple[1])
        if differing(value, wanted, limits) <= allow_mismatch_ratio:
            continue
        if rounded and dtype == "fp32" and differing(value, wanted, own) <= allow_mismatch_ratio:
            misses[name] = value, wanted, limits
            continue
        np.testing.assert_allclose(value, wanted, atol=limits[0], rtol=limits[1])
    if misses:
        attainable = not any(
            is_of_other_type(*miss, allow_mismatch_ratio) for miss in misses.values()
        )
        if attainable and state is None:
            unrounded = _predict(mlmodel, input_key_values, None, Precision("float32"))
            for name, (_, wanted, limits) in misses.items():
                value = testing_utils._get_coreml_out_from_dict(unrounded, name)
                attainable &= differing(value, wanted, limits) <= allow_mismatch_ratio
        assert not attainable, FLOAT16_IN_FLOAT32
        running.unattainable = True
    return found


@pytest.hookimpl(trylast=True)  # after pytest's own, which puts its own ``pytest.xfail`` in place
def pytest_configure(config: pytest.Config) -> None:
    """Put the executor in the place of Core ML."""
    torch.set_num_threads(1)
    ct.models.MLModel.predict = predict
    ct.models.MLModel.make_state = make_state
    testing_utils._IS_MACOS = True
    pytest.skip, pytest.xfail = _Skip(pytest.skip), _Xfail(pytest.xfail)
    for module in (testing_utils, op_testing_utils):
        module.compare_backend = compare_backend


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep so many cases of each test function, always the same ones; none that asserts a time."""
    items[:] = [item for item in items if item.nodeid.split("[")[0].split("::")[-1] not in TIMED]
    limit = int(os.environ.get(CASES_PER_TEST, "0"))
    if not limit:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.split("[")[0]].append(item)
    kept = {item for group in cases.values() for item in sorted(group, key=_digest)[:limit]}
    items[:] = [item for item in items if item in kept]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave all that is loaded out of garbage collection, which each conversion asks for."""
    _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Draw the same numbers for a case whichever cases ran before it."""
    if next(cases) % CASES_PER_FREEZE == 0:
        _freeze()
    running.excused = item.get_closest_marker("xfail") is not None
    running.predicted = running.unattainable = False
    seed = int(_digest(item)[:8], 16)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the generator that the tests draw from
    torch.manual_seed(seed)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Log how a case ended; one line for the whole case."""
    report = (yield).get_result()
    if report.when == "call" or report.outcome != "passed":
        outcome = report.outcome
        if outcome == "passed" and running.unattainable:
            outcome = "unattainable"
        elif outcome == "passed" and running.excused:
            outcome = "xpassed"
        elif outcome == "failed" and report.when != "call":
            outcome = "error"
        _log(
            {
                "case": item.nodeid,
                "outcome": outcome,
                "reason": _reason(report),
                "seconds": round(report.duration, 3),
                "predicted": running.predicted,
            }
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Log which operations ran."""
    _log({"ops": sorted(ran_ops)})


class _Skip:
    """``pytest.skip``, but for cases that Apple skips for a fault of its own: they go on."""

    def __init__(self, skip: Any) -> None:
        self._skip = skip
        self.Exception = skip.Exception

    def __call__(self, reason: str = "", **options: Any) -> None:
        if APPLE_FAULT not in reason:
            self._skip(reason, **options)
        running.excused = True


class _Xfail:
    """``pytest.xfail``, which ends a case: here it goes on, as pytest's ``--runxfail`` has it."""

    def __init__(self, xfail: Any) -> None:
        self.Exception = xfail.Exception

    def __call__(self, reason: str = "") -> None:
        running.excused = True


def _loaded(model: Any, precision: Precision) -> tuple[Executable, Function]:
    if model.package_path is None:
        pytest.skip("a neural network, not an ML Program")
    package = Package(Path(model.package_path))
    name = getattr(model, "function_name", None) or None
    executable = Executable(package, name, precision)
    return executable, package.model.program.functions[executable.function]


def _uses_float16(model: Any) -> bool:
    types = [
        output.type
        for operation in _loaded(model, Precision())[1].block.walk()
        for output in operation.outputs
        if isinstance(output.type, TensorType)
    ]
    return any(item.element is ElementType.FLOAT16 for item in types)


def _pixels(image: Any) -> Any:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 2 else pixels[..., :3]


def _array(value: Any, declared: Any) -> Any:
    """Give an input as Core ML converts it: scalars have an axis, numbers the declared type."""
    assert isinstance(declared, TensorType)
    array = np.asarray(value)
    if declared.shape is not None and array.size == 1:
        array = array.reshape([1] * len(declared.shape))
    if array.dtype.kind == "f" and not declared.element.is_float:
        return array.astype(declared.element.numpy)
    return array


def _output(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return np.atleast_1d(value.astype(np.float32) if value.dtype == np.bool_ else value)


def _digest(item: pytest.Item) -> str:
    return hashlib.sha256(item.nodeid.encode()).hexdigest()


def _reason(report: Any) -> str:
    if report.outcome == "passed":
        return ""
    if report.skipped:
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).split("\n\n")[0][:300]


def _log(record: dict[str, Any]) -> None:
    with Path(os.environ[LOG]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
