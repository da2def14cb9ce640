"""Set the smallest weights to zero.

What it does:
    Zeroes the elements of smallest magnitude in each weight until ``ratio`` of them are zero, and
    moves the mean error of every layer into its bias. ``kept = [2, 4]`` keeps the 2 largest of
    every 4 consecutive input channels in place of a ratio; ``block_size`` zeroes so many
    consecutive output channels together, those of smallest norm. A later ``palettize`` or
    ``quantize_*`` step keeps the zeros, and the record keeps ratio and pattern.

When to use:
    Smaller Core ML files, where zeros are stored as a mask. From a network that was not trained for
    it, expect to keep accuracy at small ratios only.

Cost:
    32 calibration samples (none with ``bias_correction = false``); seconds.

Limits:
    Zeros save space, and no time that any of the shipped formats promises; patterns cost more of
    the accuracy than single elements do. Depthwise filters, embeddings and weights with fewer than
    2,048 elements stay dense unless ``roles`` names theirs; the small ones stay dense always, and
    so do weights whose channels do not divide into the pattern. It comes before methods that round,
    which see the zeros.

References:
    Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks";
    Gale et al. 2019, "The State of Sparsity in Deep Neural Networks"; Zhou et al. 2021, "Learning
    N:M Fine-grained Structured Sparse Neural Networks from Scratch"; Gray et al. 2017, "GPU Kernels
    for Block-Sparse Weights".
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mobilesdk.core.form import Trait
from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method, MethodConfig

plugin_api = 1


class Config(MethodConfig):
    """Fields of a ``sparsify`` entry.

    Attributes:
        ratio: Share of each weight's elements that become zero, above 0 and below 1.
        kept: In place of a ratio: ``n`` and ``m``. Of every ``m`` consecutive input channels, 2, 4,
            8 or 16, the ``n`` of largest magnitude are kept.
        block_size: With a ratio: consecutive output channels that become zero together.
        roles: Roles of the weights that become sparse.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    ratio: float | None = Field(default=None, gt=0.0, lt=1.0)
    kept: tuple[int, Literal[2, 4, 8, 16]] | None = None
    block_size: Literal[2, 4, 8, 16, 32, 64] | None = None
    roles: tuple[WeightRole, ...] = ("conv", "conv_transpose", "linear")
    bias_correction: bool = True

    @model_validator(mode="after")
    def _is_a_scheme(self) -> Self:
        if (self.ratio is None) == (self.kept is None):
            raise ValueError("give either ratio or kept")
        self.scheme()
        return self

    def scheme(self) -> WeightScheme:
        """Give the scheme that these fields stand for."""
        share = self.ratio if self.kept is None else 1 - self.kept[0] / self.kept[1]
        return WeightScheme(
            sparsity=share or 0.0, kept=self.kept, sparse_block_size=self.block_size
        )

    def compression(self) -> Compression:
        """Ask for zeros and for no encoding, so that an earlier one stays."""
        requests = dict.fromkeys(self.roles, self.scheme())
        return Compression(requests, corrects_biases=self.bias_correction)


PLUGIN = Method(
    "sparsify",
    Config,
    adds=frozenset({Trait.SPARSE}),
    forbids=frozenset({Trait.ON_GRID, Trait.QUANTIZED, Trait.SPARSE}),
)
