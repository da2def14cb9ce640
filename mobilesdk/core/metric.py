"""A metric of the user's, and what it is held to."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from mobilesdk.core.frozen import Frozen


class UserMetric(Frozen):
    """A function of outputs and labels, called for the float model and for each artifact.

    Attributes:
        name: Of its gates.
        function: ``package.module:function`` or ``file.py:function``. It is given a mapping from
            the name of each output to ``[samples, *shape]`` without a batch axis of 1, and the
            labels of the same samples, and gives a number.
        min: Least value of the artifact.
        max: Largest value of the artifact.
        max_drop: How far the artifact may be below the float model.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]
    function: str
    min: float | None = None
    max: float | None = None
    max_drop: float | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> UserMetric:
        limits = [each for each in (self.min, self.max, self.max_drop) if each is not None]
        if not limits:
            raise ValueError("a metric needs a limit: min, max or max_drop")
        if not all(map(math.isfinite, limits)):
            raise ValueError("a limit must be a finite number")
        return self
