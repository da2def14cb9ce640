"""Sizes that an app chooses with each call: a sequence length, the side of an image, a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from mobilesdk.core.frozen import Frozen

Size = Annotated[int, Field(ge=1)]


class Dimension(Frozen):
    """A size that may differ from call to call, and the axes of inputs that have it.

    Either a range or a list is given. There always is a largest size: without one a file would be
    limited to the size that it was made with, and nobody told.

    Attributes:
        name: Of the dimension, an identifier.
        axes: Input → its axes of this size, the batch being 0. Several inputs, or several axes of
            one, always have the same size. A single axis may be given as a number.
        min: Smallest size.
        max: Largest size.
        sizes: All sizes, rising, where others between ``min`` and ``max`` are not allowed.
    """

    name: str
    axes: dict[str, tuple[int, ...]]
    min: Size
    max: Size
    sizes: tuple[Size, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """Take the ends of the range from the list, and a number as an axis."""
        if not isinstance(given, Mapping):
            return given
        found = dict(given)
        if found.get("sizes"):
            found.setdefault("min", min(found["sizes"]))
            found.setdefault("max", max(found["sizes"]))
        if isinstance(found.get("axes"), Mapping):
            found["axes"] = {
                name: (axes,) if isinstance(axes, int) else axes
                for name, axes in found["axes"].items()
            }
        return found

    @model_validator(mode="after")
    def _holds_sizes(self) -> Dimension:
        if self.min >= self.max:
            raise ValueError(f"{self.name}: min {self.min} is not below max {self.max}")
        if self.sizes and (
            (self.sizes[0], self.sizes[-1]) != (self.min, self.max)
            or any(a >= b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        ):
            raise ValueError(f"{self.name}: sizes have to rise from min to max")
        if not any(self.axes.values()):
            raise ValueError(f"{self.name}: no input has it")
        return self

    def allows(self, size: int) -> bool:
        """Tell whether a call may have a size."""
        return size in self.sizes if self.sizes else self.min <= size <= self.max

    def __str__(self) -> str:
        if self.sizes:
            return f"{self.name} of {', '.join(map(str, self.sizes))}"
        return f"{self.name} of {self.min} … {self.max}"
