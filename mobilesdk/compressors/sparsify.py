"""Set the smallest weights to zero.

What it does:
    Zeroes the elements of smallest magnitude in each weight until ``ratio`` of them are zero, and
    moves the mean error of every layer into its bias. A later ``palettize`` or ``quantize_*`` step
    keeps the zeros, and the record keeps the ratio.

When to use:
    Smaller Core ML files, where zeros are stored as a mask. From a network that was not trained for
    it, expect to keep accuracy at small ratios only.

Cost:
    32 calibration samples (none with ``bias_correction = false``); seconds.

Limits:
    Any element can be zero, in no pattern, so runtimes save space and no time. Depthwise filters,
    embeddings and weights with fewer than 2,048 elements stay dense unless ``roles`` names theirs;
    the small ones stay dense always. It comes before methods that round, which see the zeros.

References:
    Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks";
    Gale et al. 2019, "The State of Sparsity in Deep Neural Networks".
"""

from __future__ import annotations

from pydantic import Field

from mobilesdk.core.form import Trait
from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method, MethodConfig

plugin_api = 1


class Config(MethodConfig):
    """Fields of a ``sparsify`` entry.

    Attributes:
        ratio: Share of each weight's elements that become zero, above 0 and below 1.
        roles: Roles of the weights that become sparse.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    ratio: float = Field(gt=0.0, lt=1.0)
    roles: tuple[WeightRole, ...] = ("conv", "conv_transpose", "linear")
    bias_correction: bool = True

    def compression(self) -> Compression:
        """Ask for zeros and for no encoding, so that an earlier one stays."""
        requests = dict.fromkeys(self.roles, WeightScheme(sparsity=self.ratio))
        return Compression(requests, corrects_biases=self.bias_correction)


PLUGIN = Method(
    "sparsify",
    Config,
    adds=frozenset({Trait.SPARSE}),
    forbids=frozenset({Trait.ON_GRID, Trait.QUANTIZED, Trait.SPARSE}),
)
