"""Classifiers: their output is a class and a dictionary of probabilities, made by ``classify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mobilesdk.core.artifact import ClassifierInfo
from mobilesdk.coreml.program import Function, Operation, Value
from mobilesdk.coreml.wiring import names
from mobilesdk.errors import FileRejected


@dataclass(frozen=True)
class Classifier:
    """A function that classifies.

    Attributes:
        info: What it gives.
        source: Name of the tensor that the probabilities are taken from.
    """

    info: ClassifierInfo
    source: str


def read_classifier(function: Function) -> Classifier | None:
    """Find the operation whose results are the outputs of a classifier; None if there is none.

    Raises:
        FileRejected: Its classes are not written in the program as texts or integers.
    """
    for operation in function.block.operations:
        results = [item.name for item in operation.outputs]
        if operation.type == "classify" and len(results) == 2:
            sources = names(operation, ("probabilities",))
            if sources and set(results) <= set(function.block.outputs):
                label, probabilities = results
                classes = tuple(_classes_of(operation, function))
                info = ClassifierInfo(label=label, probabilities=probabilities, classes=classes)
                return Classifier(info, sources[0])
    return None


def _classes_of(operation: Operation, function: Function) -> Iterator[str | int]:
    values = {
        output.name: item.attributes.get("val")
        for item in function.block.operations
        if item.type == "const"
        for output in item.outputs
    }
    for binding in operation.inputs.get("classes", ()):
        yield from _classes(values.get(binding) if isinstance(binding, str) else binding)


def _classes(value: Value | None) -> Iterator[str | int]:
    content = None if value is None else value.content
    if isinstance(content, np.ndarray) and content.dtype.kind in "iu":
        yield from content.ravel().tolist()
        return
    if not isinstance(content, tuple):
        raise FileRejected("ML Program: the classes of a classifier are no texts and no integers.")
    for item in content:
        if isinstance(item, str):
            yield item
        else:
            yield from _classes(item if isinstance(item, Value) else None)
