"""Store weights as integers; activations stay as they are.

What it does:
    Rounds each weight to integers of 2, 4 or 8 bits with scales per tensor, per output channel or
    per block of input channels, and moves the mean error of every layer into its bias. Depthwise
    filters get 8 bits per channel; weights with fewer than 2,048 elements stay as they are; a block
    size that does not divide a weight is lowered to the largest one that does. Each of these is
    recorded with its reason.

When to use:
    The file must be small, and the runtime computes in floating point anyway (GPU, Neural Engine)
    or unpacks weights while it loads. 8 bits per channel are safe; 4 bits suit large linear layers
    in blocks of 32, seldom convolutions.

Cost:
    32 calibration samples (none with ``bias_correction = false``); seconds.

Limits:
    It saves no time where the runtime unpacks to float. Layers without a bias are not corrected;
    the record names them.

References:
    Nagel et al. 2021, "A White Paper on Neural Network Quantization", sections 2 and 3;
    Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction".
"""

from __future__ import annotations

from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method
from mobilesdk.graph.options import LinearConfig

plugin_api = 1


class Config(LinearConfig):
    """Fields of a ``quantize_weights`` entry."""

    def compression(self) -> Compression:
        """Ask for integer weights, and leave activations as they are."""
        return Compression(
            self.requests(), corrects_biases=self.bias_correction, rounding=self.rounding
        )


PLUGIN = Method("quantize_weights", Config)
