"""What an app gives to a function and gets from it, in the words of `FunctionInfo`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import cast, get_args

from mobilesdk.core.artifact import FunctionInfo, TensorInfo
from mobilesdk.core.contract import DType
from mobilesdk.coreml.classifier import Classifier, read_classifier
from mobilesdk.coreml.images import pixel_type
from mobilesdk.coreml.model import Feature, MLModel
from mobilesdk.coreml.program import Function, TensorType, ValueType


def describe_function(model: MLModel, name: str) -> tuple[FunctionInfo, tuple[str, ...]]:
    """Tell what a function takes and gives.

    Returns:
        Its interface, and what no contract can be held to, one sentence each.

    Raises:
        FileRejected: Its program is damaged.
    """
    function, interface = model.program.functions[name], model.interface(name)
    reading = _Reading(function)
    info = FunctionInfo(
        name=name,
        inputs=reading.tensors(interface.inputs),
        outputs=reading.tensors(interface.outputs),
        states=reading.tensors(interface.states),
        classifier=None if reading.classifier is None else reading.classifier.info,
    )
    return info, tuple(reading.problems)


@dataclass
class _Reading:
    """One function; collects what it cannot describe."""

    function: Function
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._types: dict[str, ValueType] = {
            output.name: output.type
            for operation in self.function.block.walk()
            for output in operation.outputs
        }
        self.classifier = read_classifier(self.function)
        if self.classifier is not None:
            self.problems += self._class_problems(self.classifier)

    def tensors(self, features: Sequence[Feature]) -> tuple[TensorInfo, ...]:
        """Describe features; the label of a classifier is no tensor."""
        label = "" if self.classifier is None else self.classifier.info.label
        found = [self._tensor(item) for item in features if item.name != label]
        return tuple(item for item in found if item is not None)

    def _tensor(self, feature: Feature) -> TensorInfo | None:
        classifier = self.classifier
        if classifier is not None and feature.name == classifier.info.probabilities:
            shape = self._declared_shape(classifier.source)
            return TensorInfo(name=feature.name, shape=shape, dtype="float32")
        if feature.kind not in ("array", "image", "state"):
            self.problems.append(f"{feature.name!r} is {feature.kind}, not an array.")
            return None
        flexibility, layout = feature.flexibility, feature.color_layout
        if layout is not None:
            shape, dtype = pixel_type(feature)
            if flexibility is not None and len(shape) == 3:
                flexibility = flexibility.with_channels(shape[-1])
        else:
            dtype = feature.dtype
            shape = feature.shape if flexibility is None else flexibility.shape
            shape = shape or self._declared_shape(feature.name)
        if dtype not in get_args(DType):
            self.problems.append(f"{feature.name!r} has the element type {dtype}.")
            return None
        return TensorInfo(
            name=feature.name,
            shape=shape,
            dtype=cast("DType", dtype),
            flexibility=flexibility,
            color_layout=layout or "",
        )

    def _declared_shape(self, name: str) -> tuple[int, ...]:
        """Give the shape that the program declares: the description leaves out free ones."""
        declared = self._types.get(name)
        shape = declared.shape if isinstance(declared, TensorType) else ()
        if shape is None:
            self.problems.append(f"{name!r} has a free number of axes.")
            return ()
        return tuple(-1 if size is None else size for size in shape)

    def _class_problems(self, classifier: Classifier) -> Iterator[str]:
        name, classes = classifier.info.probabilities, classifier.info.classes
        twice = [label for label, count in Counter(classes).items() if count > 1]
        if twice:
            yield f"{name!r} has one probability for all classes that are named {twice[0]!r}."
        elements = prod(self._declared_shape(classifier.source))
        if elements > 0 and elements != len(classes):
            yield f"{name!r} has {len(classes)} classes and {elements} probabilities."
