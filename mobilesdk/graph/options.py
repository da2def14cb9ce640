"""Tables that several compression methods share in a ``[[compress]]`` entry of a profile.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.core.step import StepConfig
from mobilesdk.graph.method import MethodConfig
from mobilesdk.graph.schemes import requests_by_role


class LinearWeights(StepConfig):
    """Weights as integers with scales, e.g. ``{ bits = 8, granularity = "per_channel" }``.

    Attributes:
        bits: Bits per element; 16 and 32 leave the weights floating point.
        granularity: What shares one scale: the tensor, an output channel, or a block of
            ``block_size`` consecutive input channels.
        block_size: Input channels per block, for ``per_block``.
        symmetric: Whether the zero point is the middle of the range.
    """

    bits: Literal[2, 4, 8, 16, 32] = 8
    granularity: Literal["per_tensor", "per_channel", "per_block"] = "per_channel"
    block_size: int | None = None
    symmetric: bool = True

    @model_validator(mode="after")
    def _is_a_scheme(self) -> Self:
        self.scheme()
        if self.block_size is not None and self.block_size < 1:
            raise ValueError("block_size must be at least 1")
        return self

    def scheme(self) -> WeightScheme:
        """Give the scheme that these fields stand for."""
        if self.bits in (16, 32):
            return WeightScheme(encoding="float", bits=self.bits)
        return WeightScheme(
            encoding="linear",
            bits=self.bits,
            granularity=self.granularity,
            block_size=self.block_size,
            symmetric=self.symmetric,
        )


class LinearConfig(MethodConfig):
    """Fields that all methods with integer weights have.

    Attributes:
        weights: Scheme of all weights.
        overrides: Scheme of weights by role, where it differs.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    weights: LinearWeights = LinearWeights()
    overrides: dict[WeightRole, LinearWeights] = {}
    bias_correction: bool = True

    def requests(self) -> dict[WeightRole, WeightScheme]:
        """Give what is asked for each role."""
        overrides = {role: table.scheme() for role, table in self.overrides.items()}
        return requests_by_role(self.weights.scheme(), overrides)
