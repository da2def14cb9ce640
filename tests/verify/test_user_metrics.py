"""A user's metric: judged by its figures, failed by its faults, never passed unseen."""

import numpy as np
import pytest

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.metric import UserMetric
from mobilesdk.errors import StepFailed
from mobilesdk.verify.user_metrics import metric_gates, metrics_not_evaluated

FUNCTIONS = """
import numpy as np


def accuracy(outputs, labels):
    assert outputs["scores"].shape == (40, 5), outputs["scores"].shape
    return (outputs["scores"].argmax(axis=-1) == labels).mean()


def nothing(outputs, labels):
    return float("nan")


def broken(outputs, labels):
    return outputs["score"]


def spoiling(outputs, labels):
    outputs["scores"][:] = 0
    return 1.0


def text(outputs, labels):
    return "good"


def leaving(outputs, labels):
    raise SystemExit(0)


number = 3
"""
CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),),
    outputs=(OutputSpec(name="scores", shape=(1, 5), dtype="float32"),),
)
FLOATS = {"scores": np.random.default_rng(0).normal(size=(40, 1, 5)).astype(np.float32)}
LABELS = FLOATS["scores"][:, 0].argmax(axis=-1)
REVERSED = {"scores": FLOATS["scores"][..., ::-1]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("metrics") / "my_metrics.py"
    path.write_text(FUNCTIONS)
    return path


@pytest.fixture
def judge(file):
    def run(name="accuracy", artifact=FLOATS, labels=LABELS, **limits):
        metric = UserMetric(name=name, function=f"{file}:{name}", **limits)
        return metric_gates([metric], CONTRACT, FLOATS, artifact, labels)

    return run


@pytest.mark.parametrize(
    ("limits", "name", "value", "verdict"),
    [
        ({"min": 0.9}, "min_accuracy", 1.0, "passed"),
        ({"max": 0.9}, "max_accuracy", 1.0, "failed"),
        ({"max_drop": 0.0}, "max_drop_of_accuracy", 0.0, "passed"),
    ],
)
def test_each_limit_is_a_gate(judge, limits, name, value, verdict):
    (gate,) = judge(**limits)
    assert (gate.name, gate.metric, gate.value, gate.verdict) == (name, "accuracy", value, verdict)
    assert (gate.output, gate.sample_count) == ("", 40)


def test_an_artifact_that_answers_otherwise_fails(judge):
    least, drop = judge(artifact=REVERSED, min=0.9, max_drop=0.1)
    assert (least.verdict, drop.verdict) == ("failed", "failed")
    assert least.value < 0.5
    assert drop.value == pytest.approx(1.0 - least.value)
    assert least.reason.startswith("float model 1, artifact 0.")


def test_without_labels_nothing_is_evaluated(judge):
    (gate,) = judge(labels=None, min=0.0)
    assert (gate.value, gate.verdict) == (None, "not_evaluated")
    assert "no labels" in gate.reason
    (gate,) = metrics_not_evaluated([UserMetric(name="a", function="m:f", min=0.0)], "not run")
    assert (gate.verdict, gate.reason) == ("not_evaluated", "not run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"line 15, in broken\n.*\n\s*.*\n?.*KeyError: 'score'"),
        ("nothing", "gave nan, which is no figure"),
        ("text", "could not convert string to float"),
        ("spoiling", "read-only"),
        ("leaving", "SystemExit"),
        ("absent", "has no function 'absent'"),
        ("number", "number of .* is a int, no function"),
    ],
)
def test_a_metric_at_fault_is_a_failed_step_with_its_place(judge, name, message):
    with pytest.raises(StepFailed, match=message):
        judge(name=name, min=0.0)


@pytest.mark.parametrize(
    "limits", [{}, {"min": float("nan")}, {"max_drop": float("inf")}, {"least": 1.0}]
)
def test_a_metric_without_a_usable_limit_is_refused(limits):
    with pytest.raises(ValueError, match=r"limit|least"):
        UserMetric(name="accuracy", function="m:f", **limits)
