"""The model description around an ML Program: inputs, outputs, versions (Model.proto)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mobilesdk.core.flexibility import Flexibility
from mobilesdk.coreml.flexibility import read_array_flexibility, read_image_flexibility
from mobilesdk.coreml.program import Program, read_program
from mobilesdk.coreml.wire import Message
from mobilesdk.errors import FileRejected

FeatureKind = Literal[
    "integer", "double", "string", "image", "array", "dictionary", "sequence", "state"
]
ColorLayout = Literal["grayscale", "rgb", "bgr", "grayscale_float16"]

# Specification version → the first operating systems that load it (coremltools.target).
_MINIMUM_OS = {
    5: "iOS 14",
    6: "iOS 15",
    7: "iOS 16",
    8: "iOS 17",
    9: "iOS 18",
    10: "iOS 26",
}
_ML_PROGRAM = 502
_ARRAY_TYPES = {
    0x10000 | 16: "float16",
    0x10000 | 32: "float32",
    0x10000 | 64: "float64",
    0x20000 | 8: "int8",
    0x20000 | 32: "int32",
}
_COLOR_LAYOUTS: dict[int, ColorLayout] = {
    10: "grayscale",
    20: "rgb",
    30: "bgr",
    40: "grayscale_float16",
}
_FEATURE_KINDS: dict[int, FeatureKind] = {
    1: "integer",
    2: "double",
    3: "string",
    4: "image",
    5: "array",
    6: "dictionary",
    7: "sequence",
    8: "state",
}


@dataclass(frozen=True)
class Feature:
    """An input, output or state.

    Attributes:
        name: Its name.
        kind: What an app passes for it.
        shape: Of an array; free axes are -1. Height and width of an image.
        dtype: Element type of an array; empty for other kinds.
        flexibility: Other shapes that are accepted besides ``shape``; None if there are none.
        color_layout: Of an image, as the program takes or gives it; None for other kinds.
    """

    name: str
    kind: FeatureKind
    shape: tuple[int, ...] = ()
    dtype: str = ""
    flexibility: Flexibility | None = None
    color_layout: ColorLayout | None = None


@dataclass(frozen=True)
class Interface:
    """What an app sees of one function.

    Attributes:
        inputs: Its inputs.
        outputs: Its outputs.
        states: What outlives a run.
    """

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]


@dataclass(frozen=True)
class MLModel:
    """A model whose body is an ML Program.

    Attributes:
        interfaces: Of the functions, where the model says which it has.
        default_function: Function that runs when none is named.
    """

    specification_version: int
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]
    user_defined: dict[str, str]
    program: Program
    interfaces: dict[str, Interface]
    default_function: str

    def interface(self, function: str) -> Interface:
        """Give what an app sees of a function of the program."""
        own = Interface(self.inputs, self.outputs, self.states)
        return self.interfaces.get(function, own)

    @property
    def minimum_os(self) -> str:
        """Lowest operating system that loads it; empty for a version that is not known."""
        return _MINIMUM_OS.get(self.specification_version, "")


def read_model(data: bytes) -> MLModel:
    """Read a ``.mlmodel`` file.

    Raises:
        FileRejected: It is damaged, or its body is no ML Program.
    """
    message = Message(data)
    body = message.message(_ML_PROGRAM)
    description = message.message(2)
    if body is None or description is None:
        raise FileRejected(
            "The Core ML model holds no ML Program.",
            hint="convert the model again with an iOS 15 target or later.",
        )
    metadata = description.message(100) or Message(b"")
    return MLModel(
        specification_version=message.integer(1),
        inputs=tuple(_feature(item) for item in description.messages(1)),
        outputs=tuple(_feature(item) for item in description.messages(10)),
        states=tuple(_feature(item) for item in description.messages(13)),
        user_defined={entry.text(1): entry.text(2) for entry in metadata.messages(100)},
        program=read_program(body),
        interfaces={item.text(1): _interface(item) for item in description.messages(20)},
        default_function=description.text(21) or "main",
    )


def _interface(message: Message) -> Interface:
    return Interface(
        inputs=tuple(_feature(item) for item in message.messages(2)),
        outputs=tuple(_feature(item) for item in message.messages(3)),
        states=tuple(_feature(item) for item in message.messages(6)),
    )


def _feature(message: Message) -> Feature:
    name = message.text(1)
    feature_type = message.message(3) or Message(b"")
    numbers = [number for number in feature_type.numbers() if number in _FEATURE_KINDS]
    if len(numbers) != 1:
        raise FileRejected(f"Core ML model: the feature {name!r} has no type that is known.")
    kind = _FEATURE_KINDS[numbers[0]]
    inner = feature_type.message(numbers[0]) or Message(b"")
    if kind == "image":
        size = (inner.integer(2), inner.integer(1))
        layout = _COLOR_LAYOUTS.get(inner.integer(3))
        if layout is None:
            raise FileRejected(f"Core ML model: the image {name!r} has no colour layout.")
        return Feature(name, kind, size, "", read_image_flexibility(inner), layout)
    if kind == "state":
        inner = inner.message(1) or Message(b"")
    elif kind != "array":
        return Feature(name, kind)
    dtype = _ARRAY_TYPES.get(inner.integer(2))
    if dtype is None:
        raise FileRejected(f"Core ML model: {name!r} has the element type {inner.integer(2)}.")
    shape = tuple(int(size) for size in inner.integers(1))
    return Feature(name, kind, shape, dtype, read_array_flexibility(inner))
