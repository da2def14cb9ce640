"""Shapes that an input may have where a file allows more than one."""

from __future__ import annotations

from collections.abc import Sequence

from mobilesdk.core.frozen import Frozen


class Flexibility(Frozen):
    """What is allowed: one of several shapes, or a range for each axis.

    Attributes:
        shapes: The shapes; empty if there are ranges.
        ranges: Lowest and highest size of each axis; None where there is no highest.
    """

    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """What all allowed shapes have in common; -1 for a size that is free."""
        if self.ranges:
            return tuple(low if low == high else -1 for low, high in self.ranges)
        axes = zip(*self.shapes, strict=False)
        return tuple(sizes[0] if len(set(sizes)) == 1 else -1 for sizes in axes)

    def allows(self, shape: Sequence[int]) -> bool:
        """Tell whether an input may have a shape."""
        if self.shapes:
            return tuple(shape) in self.shapes
        return len(shape) == len(self.ranges) and all(
            low <= size and (high is None or size <= high)
            for size, (low, high) in zip(shape, self.ranges, strict=True)
        )

    def with_channels(self, count: int) -> Flexibility:
        """Give what an array of pixels may have: the sizes of an image, and its channels last."""
        return Flexibility(
            shapes=tuple((*shape, count) for shape in self.shapes),
            ranges=(*self.ranges, (count, count)) if self.ranges else (),
        )

    def __str__(self) -> str:
        if self.shapes:
            return " or ".join(str(list(shape)) for shape in self.shapes)
        axes = (
            str(low) if low == high else f"{low}…{'' if high is None else high}"
            for low, high in self.ranges
        )
        return f"[{', '.join(axes)}]"
