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

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import Request, WeightRole
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.options import LinearWeights, linear_requests
from mobilesdk.graph.schemes import storable
from mobilesdk.plugins.contract import Tool

plugin_api = 1


class Config(StepConfig):
    """Fields of a ``quantize_weights`` entry.

    Attributes:
        weights: Scheme of all weights.
        overrides: Scheme by role, where it differs.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    weights: LinearWeights = LinearWeights()
    overrides: dict[WeightRole, LinearWeights] = {}
    bias_correction: bool = True


class QuantizeWeights:
    """The plug-in."""

    config = Config
    tools = (Tool(distribution="torch", extra="torch"),)
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.ON_GRID, Trait.QUANTIZED})
    adds = frozenset({Trait.ON_GRID, Trait.QUANTIZED})

    def needs(self, config: Config) -> Needs:
        """Tell what has to be given: samples to correct biases with."""
        return Needs.CALIBRATION if config.bias_correction else Needs.NONE

    def request(self, config: Config, before: Request) -> Request:
        """Give what formats must be able to store: integers of these schemes."""
        return storable(linear_requests(config.weights, config.overrides), before)

    def apply(self, model: Model, config: Config, context: StepContext) -> Model:
        """Round the weights."""
        from mobilesdk.graph.compression import Compression, compress

        compression = Compression(
            method="quantize_weights",
            requests=linear_requests(config.weights, config.overrides),
            corrects_biases=config.bias_correction,
            adds=self.adds,
        )
        return compress(model, compression, context)


PLUGIN = QuantizeWeights()
