"""Tables that several compression methods share in a ``[[compress]]`` entry of a profile.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.core.step import StepConfig
from mobilesdk.graph.compression import Rounding
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


class RoundingConfig(MethodConfig):
    """Fields that all methods which round weights have.

    Attributes:
        bias_correction: Whether biases make up for the mean error of their layers.
        rounding: How weights are put onto their grids: each element to the nearest value
            (``nearest``); each layer at the least error of what it gives on calibration samples
            (``gptq``); the same, with the errors of earlier layers made up for (``gptaq``), which
            is better at 4 bits and below. Both go with bias correction.
    """

    bias_correction: bool = True
    rounding: Rounding = "nearest"

    @model_validator(mode="after")
    def _rounds_with_samples(self) -> Self:
        if self.rounding != "nearest" and not self.bias_correction:
            raise ValueError(f'rounding = "{self.rounding}" goes with bias_correction = true')
        return self


class LinearConfig(RoundingConfig):
    """Fields that all methods with integer weights have.

    Attributes:
        weights: Scheme of all weights.
        overrides: Scheme of weights by role, where it differs.
    """

    weights: LinearWeights = LinearWeights()
    overrides: dict[WeightRole, LinearWeights] = {}

    def requests(self) -> dict[WeightRole, WeightScheme]:
        """Give what is asked for each role."""
        overrides = {role: table.scheme() for role, table in self.overrides.items()}
        return requests_by_role(self.weights.scheme(), overrides)
