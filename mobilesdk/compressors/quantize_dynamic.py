"""Store weights as integers; the runtime rounds activations to 8 bits as it meets them.

What it does:
    Rounds every weight to integers of 4 or 8 bits, and moves the mean error of every layer into its
    bias. The runtime finds the range of each activation from its own values.

When to use:
    Transformers and other networks of linear layers on CPUs: activations vary too much from sample
    to sample for fixed ranges. 4-bit linear layers want blocks of 32 and an 8-bit embedding:
    ``weights = { bits = 4, granularity = "per_block", block_size = 32 }``,
    ``overrides = { embedding = { bits = 8 } }``.

Cost:
    32 calibration samples (none with ``bias_correction = false``); seconds.

Limits:
    Runtimes have few dynamic kernels for convolutions; the exporter refuses what its format lacks.
    Biases make up for the rounding of weights, not of activations, whose error has no fixed mean.
    Layers without a bias are not corrected; the record names them.

References:
    Nagel et al. 2021, "A White Paper on Neural Network Quantization"; Dettmers et al. 2022,
    "LLM.int8()", on outliers of activations in transformers.
"""

from __future__ import annotations

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method
from mobilesdk.graph.options import LinearConfig

plugin_api = 1


class Config(LinearConfig):
    """Fields of a ``quantize_dynamic`` entry."""

    def compression(self) -> Compression:
        """Ask for integer weights, small ones too, and dynamic activations."""
        return Compression(
            self.requests(),
            activations=ActivationScheme(mode="dynamic", bits=8),
            minimum_elements=0,
            corrects_biases=self.bias_correction,
            rounding=self.rounding,
        )


PLUGIN = Method("quantize_dynamic", Config)
