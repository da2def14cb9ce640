"""Shapes that an input may have besides its default one, as the model description allows them."""

from __future__ import annotations

from mobilesdk.core.flexibility import Flexibility
from mobilesdk.coreml.wire import Message
from mobilesdk.errors import FileRejected

_ENUMERATED, _RANGES = 21, 31
_UNBOUNDED = -1


def read_array_flexibility(message: Message) -> Flexibility | None:
    """Read that of an ``ArrayFeatureType``; None if it has none."""
    enumerated, ranges = message.message(_ENUMERATED), message.message(_RANGES)
    if enumerated is not None:
        shapes = (item.integers(1) for item in enumerated.messages(1))
        return _checked(Flexibility(shapes=tuple(tuple(map(int, shape)) for shape in shapes)))
    if ranges is not None:
        return _checked(Flexibility(ranges=tuple(map(_range, ranges.messages(1)))))
    return None


def read_image_flexibility(message: Message) -> Flexibility | None:
    """Read that of an ``ImageFeatureType``, as (height, width); None if it has none."""
    enumerated, ranges = message.message(_ENUMERATED), message.message(_RANGES)
    if enumerated is not None:
        sizes = enumerated.messages(1)
        shapes = tuple((item.integer(2), item.integer(1)) for item in sizes)
        return _checked(Flexibility(shapes=shapes))
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
