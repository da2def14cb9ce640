"""What an app gives to a function and gets from it, in the words of `FunctionInfo`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import cast, get_args

from mobilesdk.core.artifact import FunctionInfo, TensorInfo
from mobilesdk.core.contract import DType
from mobilesdk.core.flexibility import Flexibility
from mobilesdk.coreml.agreement import contradictions
from mobilesdk.coreml.classifier import Classifier, read_classifier
from mobilesdk.coreml.images import pixel_type
from mobilesdk.coreml.model import ColorLayout, Feature, MLModel
from mobilesdk.coreml.program import Function, TensorType


def describe_function(model: MLModel, name: str) -> tuple[FunctionInfo, tuple[str, ...]]:
    """Tell what a function takes and gives.

    Returns:
        Its interface; and where it contradicts the program, or no contract can be held to it, one
        sentence each.

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
    return info, (*contradictions(model, name), *reading.problems)


class _Reading:
    """One function; collects what it cannot describe."""

    def __init__(self, function: Function) -> None:
        self._types = {item.name: item.type for item in function.inputs}
        for operation in function.block.walk():
            self._types |= {output.name: output.type for output in operation.outputs}
        self.problems: list[str] = []
        self.classifier = read_classifier(function)
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
            return self._described(feature.name, self._declared_shape(classifier.source), "float32")
        if feature.kind not in ("array", "image", "state"):
            self.problems.append(f"{feature.name!r} is {feature.kind}, not an array.")
            return None
        if feature.color_layout is not None:
            return self._image(feature, feature.color_layout)
        flexibility = feature.flexibility
        if flexibility is not None:
            return self._described(feature.name, flexibility.shape, feature.dtype, flexibility)
        # The description of an output leaves out its shape if that depends on the input's.
        shape = feature.shape or self._declared_shape(feature.name)
        return self._described(feature.name, shape, feature.dtype)

    def _image(self, feature: Feature, layout: ColorLayout) -> TensorInfo | None:
        shape, dtype = pixel_type(feature)
        flexibility = feature.flexibility
        if flexibility is not None and len(shape) == 3:
            flexibility = flexibility.with_channels(shape[-1])
        return self._described(feature.name, shape, dtype, flexibility, layout)

    def _described(
        self,
        name: str,
        shape: tuple[int, ...] | None,
        dtype: str,
        flexibility: Flexibility | None = None,
        layout: str = "",
    ) -> TensorInfo | None:
        if shape is None:
            self.problems.append(f"{name!r} has a free number of axes.")
            return None
        if dtype not in get_args(DType):
            self.problems.append(f"{name!r} has the element type {dtype}.")
            return None
        return TensorInfo(
            name=name,
            shape=shape,
            dtype=cast("DType", dtype),
            flexibility=flexibility,
            color_layout=layout,
        )

    def _declared_shape(self, name: str) -> tuple[int, ...] | None:
        """Give the shape that the program declares, -1 for a free size; None if it has none."""
        declared = self._types.get(name)
        shape = declared.shape if isinstance(declared, TensorType) else None
        return None if shape is None else tuple(-1 if size is None else size for size in shape)

    def _class_problems(self, classifier: Classifier) -> Iterator[str]:
        name, classes = classifier.info.probabilities, classifier.info.classes
        twice = [label for label, count in Counter(classes).items() if count > 1]
        if twice:
            yield f"{name!r} has one probability for all classes that are named {twice[0]!r}."
        shape = self._declared_shape(classifier.source)
        if shape is not None and -1 not in shape and prod(shape) != len(classes):
            yield f"{name!r} has {len(classes)} classes and {prod(shape)} probabilities."
