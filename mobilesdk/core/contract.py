"""The contract of a model: what it takes and gives, written once, stored in the manifest.

Calibration, evaluation, goldens and the harness apps all prepare inputs from this description, so
the preprocessing cannot differ between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mobilesdk.core.dimension import Dimension
from mobilesdk.core.frozen import Frozen

DType = Literal["float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
OutputKind = Literal["classification", "embedding", "boxes", "mask", "tokens", "other"]


class ImageInput(Frozen):
    """An image. A pixel is RGB, 0…255; the model is given ``(pixel - mean) / std``.

    Attributes:
        size: Height and width in pixels.
        mean: One number, or one for each of R, G, B; in units of pixels (0…255).
        std: One number, or one for each of R, G, B; in units of pixels; not 0.
        layout: Order of the axes in the tensor, batch first.
        resize: ``crop`` scales the shorter side and crops the centre; ``stretch`` scales both.
    """

    kind: Literal["image"] = "image"
    size: tuple[int, int]
    mean: float | tuple[float, float, float] = 0.0
    std: float | tuple[float, float, float] = 1.0
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    resize: Literal["crop", "stretch"] = "crop"

    @model_validator(mode="after")
    def _std_is_not_zero(self) -> ImageInput:
        values = self.std if isinstance(self.std, tuple) else (self.std,)
        if 0.0 in values:
            raise ValueError("std must not be 0")
        if min(self.size) < 1:
            raise ValueError("size must be at least 1 pixel")
        return self


class TokenInput(Frozen):
    """Integer ids.

    Attributes:
        vocabulary_size: Ids lie in ``0 … vocabulary_size - 1``; ``None`` if there is no such bound.
    """

    kind: Literal["tokens"] = "tokens"
    vocabulary_size: int | None = None


class AudioInput(Frozen):
    """Sound, ``[1, samples]`` or ``[1, channels, samples]``; a value is -1 … 1.

    Attributes:
        sample_rate_hz: Of recordings; one with another rate is refused, not resampled.
        channels: Of recordings.
        length: ``exact`` takes recordings of just as many samples; ``crop`` the first samples of
            longer ones; ``crop_or_pad`` also shorter ones, with silence at the end.
    """

    kind: Literal["audio"] = "audio"
    sample_rate_hz: Annotated[int, Field(gt=0)]
    channels: Annotated[int, Field(gt=0)] = 1
    length: Literal["exact", "crop", "crop_or_pad"] = "crop"


class ArrayInput(Frozen):
    """Numbers that the caller has prepared already; taken as they are."""

    kind: Literal["array"] = "array"


InputKind = Annotated[
    ImageInput | TokenInput | AudioInput | ArrayInput, Field(discriminator="kind")
]


class InputSpec(Frozen):
    """One input: its name, shape with the batch axis first, dtype, and preparation.

    The shape is that of the example, whatever others the dimensions of the contract allow.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    preparation: InputKind = ArrayInput()


class BoxLayout(Frozen):
    """Boxes of a detector, ``[1, N, columns]``: one in each row, four coordinates first.

    Attributes:
        corners: What the four are: two corners, a corner and a size, or a centre and a size. The
            axes may be in either order, and in any unit.
        scores: Name of the output with the scores of the boxes, ``[1, N]`` or ``[1, N, classes]``.
            Without it the columns after the fourth are scores of classes; if there are none,
            every row is a box.
        min_score: Boxes with a lower best score are passed over, in the unit of the scores.
        min_iou: Two boxes can be one only if they overlap as much, 0 … 1.
    """

    kind: Literal["boxes"] = "boxes"
    corners: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"
    scores: str | None = None
    min_score: float = 0.5
    min_iou: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5


class MaskLayout(Frozen):
    """Scores of pixels, batch first.

    Attributes:
        class_axis: Where the classes are: ``first`` is ``[1, classes, …]``, ``last`` is
            ``[1, …, classes]``; a pixel is of the class with the best score. ``None``: each value
            is a pixel, and belongs to the one object that there is if it is above ``threshold``.
        threshold: In the unit of the scores: 0.5 for probabilities, 0 for logits.
    """

    kind: Literal["mask"] = "mask"
    class_axis: Literal["first", "last"] | None = None
    threshold: float = 0.5


OutputLayout = Annotated[BoxLayout | MaskLayout, Field(discriminator="kind")]


class OutputSpec(Frozen):
    """One output: its name, shape, dtype, and what it means to the metrics.

    Attributes:
        layout: How its numbers lie, for boxes and masks; of a kind that has a layout, and lacks
            it, only figures that need none are given.
        varying: Axes whose size follows from the dimensions of the contract; read from the model.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    kind: OutputKind = "other"
    layout: OutputLayout | None = None
    varying: tuple[int, ...] = ()

    def allows(self, shape: Sequence[int]) -> bool:
        """Tell whether it may have a shape: its own, but for the axes that vary."""
        return len(shape) == len(self.shape) and all(
            size == own or axis in self.varying
            for axis, (size, own) in enumerate(zip(shape, self.shape, strict=True))
        )


class StateSpec(Frozen):
    """One state: what a run leaves to the next one; zeros before the first."""

    name: str
    shape: tuple[int, ...]
    dtype: DType

    @property
    def next_name(self) -> str:
        """Name of its new value, where that is an output."""
        return f"{self.name}_next"


class Contract(Frozen):
    """What a model takes and gives, in the order of its arguments and results.

    With dimensions, inputs have other shapes than that of the example too, and outputs follow.

    With states, one run is one step of a sequence. A sample is a sequence: each of its arrays has
    an axis of steps before those of the input, and states are zeros before the first step.
    """

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    states: tuple[StateSpec, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    labels: tuple[str, ...] | None = None
    family: Literal["vision", "transformer", "other"] | None = None

    @property
    def functional(self) -> Contract:
        """The same model without states: each is an input, and its new value an output.

        They follow the others, in their order. The new value of ``cache`` is ``cache_next``.
        """
        before = (InputSpec(name=s.name, shape=s.shape, dtype=s.dtype) for s in self.states)
        after = (OutputSpec(name=s.next_name, shape=s.shape, dtype=s.dtype) for s in self.states)
        return self.model_copy(
            update={
                "inputs": (*self.inputs, *before),
                "outputs": (*self.outputs, *after),
                "states": (),
            }
        )


@dataclass(frozen=True)
class ModelSpec:
    """What a factory returns when it also states the contract.

    Attributes:
        module: A ``torch.nn.Module`` in evaluation mode.
        example_inputs: Positional arguments of ``forward``: tensors, or tuples, lists and dicts of
            tensors. Their leaves, in order, are the inputs of the contract.
        inputs: Preparation of each input by name, in the order of the leaves. A missing mapping
            takes the names from ``forward`` and prepares nothing.
        outputs: Kind of each output by name, in the order of the leaves of what ``forward`` gives;
            of boxes and masks, their layout.
        dimensions: Sizes of the inputs that an app may choose with each call.
        labels: Names of the classes, if the model classifies.
        family: Which profile of a target applies; seen from the ops when ``None``.
    """

    module: Any
    example_inputs: tuple[Any, ...]
    inputs: Mapping[str, ImageInput | TokenInput | AudioInput | ArrayInput] = field(
        default_factory=dict
    )
    outputs: Mapping[str, OutputKind | BoxLayout | MaskLayout] = field(default_factory=dict)
    dimensions: tuple[Dimension, ...] = ()
    labels: tuple[str, ...] | None = None
    family: Literal["vision", "transformer", "other"] | None = None
