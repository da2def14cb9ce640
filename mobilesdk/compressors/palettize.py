"""Store weights as indices into small tables of values.

What it does:
    Finds, per tensor or per group of output channels, the 2, 4, 8, 16, 64 or 256 values that stand
    for the weights with the least squared error (exact one-dimensional k-means), and moves the mean
    error of every layer into its bias. Depthwise filters get 8 bits; weights with fewer than 2,048
    elements stay as they are; a group size that does not divide a weight is lowered to the largest
    one that does; where tables would outweigh the indices, one table serves the tensor. Each of
    these is recorded with its reason.

When to use:
    Core ML on the Neural Engine, which unpacks tables on the fly: smaller files and less memory
    traffic at the same arithmetic. 6 bits are mostly safe; 4 bits want groups of 8 or 16.

Cost:
    32 calibration samples (none with ``bias_correction = false``); seconds to a minute.

Limits:
    Of the shipped formats, Core ML alone stores tables. There are no scales of channels beside a
    shared table: as Core ML stores them, packages do not load on the Neural Engine
    (https://github.com/apple/coremltools/pull/2688). A table for each channel does what they would
    do, for 32 bytes a channel at 4 bits, or 18 with ``table_bits = 8``. Layers without a bias are
    not corrected; the record names them.

References:
    Han et al. 2016, "Deep Compression", section 3; Wang and Song 2011, "Ckmeans.1d.dp: Optimal
    k-means Clustering in One Dimension by Dynamic Programming".
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.core.step import StepConfig
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method
from mobilesdk.graph.options import RoundingConfig
from mobilesdk.graph.schemes import requests_by_role

plugin_api = 1


class PaletteWeights(StepConfig):
    """Weights as tables, e.g. ``{ bits = 4, granularity = "per_group", group_size = 16 }``.

    Attributes:
        bits: Bits per index; 16 and 32 leave the weights floating point.
        granularity: What shares one table: the tensor, ``group_size`` output channels, or one.
        group_size: Output channels per table, for ``per_group``.
        table_bits: 8 for tables of 8-bit integers with a scale for each table; floats without it.
    """

    bits: Literal[1, 2, 3, 4, 6, 8, 16, 32] = 6
    granularity: Literal["per_tensor", "per_group", "per_channel"] = "per_tensor"
    group_size: int | None = Field(default=None, ge=1)
    table_bits: Literal[8] | None = None

    @model_validator(mode="after")
    def _is_a_scheme(self) -> Self:
        self.scheme()
        return self

    def scheme(self) -> WeightScheme:
        """Give the scheme that these fields stand for."""
        if self.bits in (16, 32):
            return WeightScheme(encoding="float", bits=self.bits)
        return WeightScheme(
            encoding="palette",
            bits=self.bits,
            granularity=self.granularity,
            group_size=self.group_size,
            table_bits=self.table_bits,
        )


class Config(RoundingConfig):
    """Fields of a ``palettize`` entry.

    Attributes:
        weights: Scheme of all weights.
        overrides: Scheme by role, where it differs.
    """

    weights: PaletteWeights = PaletteWeights()
    overrides: dict[WeightRole, PaletteWeights] = {}

    def compression(self) -> Compression:
        """Ask for tables, and leave activations as they are."""
        overrides = {role: table.scheme() for role, table in self.overrides.items()}
        requests = requests_by_role(self.weights.scheme(), overrides)
        return Compression(requests, corrects_biases=self.bias_correction, rounding=self.rounding)


PLUGIN = Method("palettize", Config)
