"""Shapes that an input may have besides its default one, as the model description allows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilesdk.coreml.wire import Message
from mobilesdk.errors import FileRejected

_ENUMERATED, _RANGES = 21, 31
_UNBOUNDED = -1


@dataclass(frozen=True)
class Flexibility:
    """What is allowed: one of several shapes, or a range for each axis.

    Attributes:
        shapes: The shapes; empty if there are ranges.
        ranges: Lowest and highest size of each axis; None where there is no highest.
    """

    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()

    def allows(self, shape: Sequence[int]) -> bool:
        """Tell whether an input may have a shape."""
        if self.shapes:
            return tuple(shape) in self.shapes
        return len(shape) == len(self.ranges) and all(
            low <= size and (high is None or size <= high)
            for size, (low, high) in zip(shape, self.ranges, strict=True)
        )

    def __str__(self) -> str:
        if self.shapes:
            return " or ".join(str(list(shape)) for shape in self.shapes)
        axes = (
            str(low) if low == high else f"{low}…{'' if high is None else high}"
            for low, high in self.ranges
        )
        return f"[{', '.join(axes)}]"


def read_array_flexibility(message: Message) -> Flexibility | None:
    """Read that of an ``ArrayFeatureType``; None if it has none."""
    enumerated, ranges = message.message(_ENUMERATED), message.message(_RANGES)
    if enumerated is not None:
        shapes = (item.integers(1) for item in enumerated.messages(1))
        return _checked(Flexibility(tuple(tuple(map(int, shape)) for shape in shapes)))
    if ranges is not None:
        return _checked(Flexibility(ranges=tuple(map(_range, ranges.messages(1)))))
    return None


def read_image_flexibility(message: Message) -> Flexibility | None:
    """Read that of an ``ImageFeatureType``, as (height, width); None if it has none."""
    enumerated, ranges = message.message(_ENUMERATED), message.message(_RANGES)
    if enumerated is not None:
        sizes = enumerated.messages(1)
        return _checked(Flexibility(tuple((item.integer(2), item.integer(1)) for item in sizes)))
    if ranges is not None:
        sides = (ranges.message(number) or Message(b"") for number in (2, 1))
        return _checked(Flexibility(ranges=tuple(map(_range, sides))))
    return None


def _range(message: Message) -> tuple[int, int | None]:
    high = message.integer(2)
    return message.integer(1), None if high == _UNBOUNDED else high


def _checked(found: Flexibility) -> Flexibility:
    if not found.shapes and not found.ranges:
        raise FileRejected("Core ML model: an input of flexible shape allows none.")
    return found
