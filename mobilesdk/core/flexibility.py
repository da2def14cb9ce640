"""Shapes that an input may have where a file allows more than one."""

from __future__ import annotations

from collections.abc import Sequence

from mobilesdk.core.frozen import Frozen


class Flexibility(Frozen):
    """What is allowed: one of several shapes, or a range for each axis.

    Attributes:
        shapes: The shapes; empty if there are ranges.
        ranges: Lowest and highest size of each axis; None where there is no highest, and 0 where
            the format keeps no lowest.
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

    def declares(self, wanted: Flexibility) -> bool:
        """Tell whether a file that says this allows just the shapes of a contract.

        A format that keeps no lowest sizes keeps no lists of sizes either: of it only the highest
        ones are compared.
        """
        keeps_highest_only = any(low == 0 for low, _ in self.ranges)
        if keeps_highest_only:
            return [high for _, high in self.ranges] == list(wanted.highest)
        return set(self.shapes) == set(wanted.shapes) and self.ranges == wanted.ranges

    @property
    def highest(self) -> tuple[int | None, ...]:
        """The largest size of each axis; None where there is none."""
        if self.ranges:
            return tuple(high for _, high in self.ranges)
        return tuple(max(sizes) for sizes in zip(*self.shapes, strict=True))

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
            str(low) if low == high else f"{low or ''}…{'' if high is None else high}"
            for low, high in self.ranges
        )
        return f"[{', '.join(axes)}]"
