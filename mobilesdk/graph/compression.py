"""What a compression method is to do to a model: plain data, which loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mobilesdk.core.scheme import ActivationScheme, WeightRole, WeightScheme
from mobilesdk.graph.schemes import MINIMUM_ELEMENTS

Rounding = Literal["nearest", "gptq", "gptaq"]
"""``nearest``; ``gptq``: each layer at the least error of what it gives; ``gptaq``: the same,
measured from what the float network gives."""


@dataclass(frozen=True)
class Compression:
    """What a method is to do to a model.

    Attributes:
        requests: What is asked for each role; weights of other roles stay as they are.
        activations: Scheme of all activations; as before when ``None``.
        minimum_elements: Smaller weights stay as they are.
        corrects_biases: Whether biases make up for the mean error of their layers.
        rounding: How weights are put onto their grids.
    """

    requests: Mapping[WeightRole, WeightScheme]
    activations: ActivationScheme | None = None
    minimum_elements: int = MINIMUM_ELEMENTS
    corrects_biases: bool = True
    rounding: Rounding = "nearest"
