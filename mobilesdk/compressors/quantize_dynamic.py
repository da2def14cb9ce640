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

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.options import LinearWeights, linear_requests
from mobilesdk.graph.schemes import storable
from mobilesdk.plugins.contract import Tool

plugin_api = 1

_ACTIVATIONS = ActivationScheme(mode="dynamic", bits=8)


class Config(StepConfig):
    """Fields of a ``quantize_dynamic`` entry.

    Attributes:
        weights: Scheme of all weights.
        overrides: Scheme by role, where it differs.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    weights: LinearWeights = LinearWeights()
    overrides: dict[WeightRole, LinearWeights] = {}
    bias_correction: bool = True


class QuantizeDynamic:
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
        """Give what formats must be able to store: integer weights, dynamic activations."""
        after = storable(linear_requests(config.weights, config.overrides), before)
        return Request(weights=after.weights, activations=_ACTIVATIONS)

    def apply(self, model: Model, config: Config, context: StepContext) -> Model:
        """Round the weights."""
        from mobilesdk.graph.compression import Compression, compress

        compression = Compression(
            method="quantize_dynamic",
            requests=linear_requests(config.weights, config.overrides),
            activations=_ACTIVATIONS,
            minimum_elements=0,
            corrects_biases=config.bias_correction,
            adds=self.adds,
        )
        return compress(model, compression, context)


PLUGIN = QuantizeDynamic()
