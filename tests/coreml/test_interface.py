"""What a function takes and gives as inspection tells it, and what it cannot describe."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.coreml.wire import write_bytes
from mobilesdk.errors import FileRejected
from mobilesdk.runtimes.coreml import PLUGIN

from .building import number, text
from .programs import NUMBERS, Function, value_type, write

SINGLE = "float32"
Labels = tuple[str | int, ...]
LABELS: Labels = ("ant", "bee", "cat")


def listed(labels: Labels) -> bytes:
    """Write a list of classes in place."""
    of = "int64" if labels and isinstance(labels[0], int) else "string"
    length = write_bytes(1, number(1, len(labels)))
    kind = write_bytes(1, value_type(of, ())) + write_bytes(2, length)
    items = b"".join(write_bytes(1, one_class(label)) for label in labels)
    return write_bytes(2, write_bytes(2, kind)) + write_bytes(3, write_bytes(2, items))


def one_class(label: str | int) -> bytes:
    if isinstance(label, str):
        return text(label)
    content = write_bytes(3, write_bytes(1, write_bytes(5, number(1, label))))
    return write_bytes(2, value_type("int64", ())) + content


def classifier(
    classes: bytes, size: int | None = 3, outputs: tuple[str, ...] = ("label", "probs")
) -> Function:
    made = Function({"x": (SINGLE, (1, size))}, outputs)
    made.pictures["probs"] = (SINGLE, (1, 3))
    results = {"label": ("string", ()), "probs": (SINGLE, (1, size))}
    made.body.op("classify", results, probabilities="x", classes=classes)
    return made


def inspect(root: Path, function: Function, **others: Function) -> ArtifactInfo:
    return PLUGIN.inspect(write(root / "m.mlpackage", function, **others))


@pytest.mark.parametrize("labels", [LABELS, (5, 3, 7)])
def test_classes_are_read_in_their_order(tmp_path: Path, labels: Labels) -> None:
    info = inspect(tmp_path, classifier(listed(labels)))
    assert (info.problems, info.classifier is None) == ((), False)
    assert info.classifier
    assert info.classifier.classes == labels
    assert [(item.name, item.shape) for item in info.outputs] == [("probs", (1, 3))]


@pytest.mark.parametrize(
    ("labels", "size", "problem"),
    [
        (("ant", "bee", "ant"), 3, "'probs' has one probability for all classes that are named"),
        (LABELS, 4, "'probs' has 3 classes and 4 probabilities"),
        (LABELS, None, ""),  # the number of probabilities is known at run time only
    ],
)
def test_classes_and_probabilities_have_to_go_together(
    tmp_path: Path, labels: Labels, size: int | None, problem: str
) -> None:
    problems = inspect(tmp_path, classifier(listed(labels), size)).problems
    assert [problem in each for each in problems] == [True] * bool(problem)


def test_classes_of_something_else_are_rejected(tmp_path: Path) -> None:
    numbers = write_bytes(2, value_type(SINGLE, ())) + write_bytes(3, write_bytes(1, b""))
    with pytest.raises(FileRejected, match="no texts and no integers"):
        inspect(tmp_path, classifier(numbers))


def test_a_classification_inside_a_program_is_no_output(tmp_path: Path) -> None:
    info = inspect(tmp_path, classifier(listed(LABELS), outputs=("probs",)))
    assert info.classifier is None


def doubled() -> Function:
    """Build a function that adds its input to itself."""
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    made.body.op("add", {"y": (SINGLE, (2,))}, x="x", y="x")
    return made


def test_what_is_wrong_in_another_function_is_told_with_its_name(tmp_path: Path) -> None:
    info = inspect(tmp_path, doubled(), other=classifier(listed(("ant", "bee", "ant"))))
    assert (info.function, [item.name for item in info.other_functions]) == ("main", ["other"])
    assert len(info.problems) == 1
    assert info.problems[0].startswith("other: 'probs' has one probability for all classes")
    assert info.remarks == ("Runs here are of the function main; looked at and not run: other.",)


def test_random_numbers_in_a_function_that_does_not_run_are_no_obstacle(tmp_path: Path) -> None:
    drawn = Function({"x": (SINGLE, (2,))}, ("y",))
    drawn.body.op("random_uniform", {"y": (SINGLE, (2,))}, shape=np.array([2], np.int32))
    assert inspect(tmp_path / "a", doubled(), other=drawn).unverifiable == ()
    assert inspect(tmp_path / "b", drawn, other=doubled()).unverifiable != ()


@given(st.data())
def test_a_damaged_classifier_is_inspected_or_rejected_but_never_crashes(
    data: st.DataObject,
) -> None:
    labels = data.draw(st.sampled_from([LABELS, (5, 3, 7)]))
    classes = bytearray(listed(labels))
    for _ in range(data.draw(st.integers(1, 4))):
        classes[data.draw(st.integers(0, len(classes) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(FileRejected):
        inspect(Path(folder), classifier(bytes(classes)))


def test_a_result_without_a_rank_is_a_problem(tmp_path: Path) -> None:
    made = doubled()
    unknown = write_bytes(1, number(1, NUMBERS[SINGLE]) + number(2, (1 << 64) - 1))
    made.body.operations[-1] += write_bytes(3, write_bytes(1, b"z") + write_bytes(2, unknown))
    made.pictures["z"] = (SINGLE, ())
    made.body.outputs = ("y", "z")
    problems = inspect(tmp_path, made).problems
    assert problems == ("'z' has a free number of axes.",)
