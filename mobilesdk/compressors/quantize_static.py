"""Store weights and activations as integers, with ranges fixed at build time.

What it does:
    Rounds every weight to integers, and imitates integer activations while it moves the mean error
    of every layer into its bias. The exporter then finds the ranges of activations in its own
    graph, over all calibration samples. A clamp such as ReLU6 counts as part of the op before it,
    so that only the clamped value is rounded.

When to use:
    Networks of convolutions on integer hardware: CPUs through XNNPACK, vendor NPUs. Transformers
    keep more of their accuracy with ``quantize_dynamic``.

Cost:
    A calibration set from the domain of use, 32 samples or more; seconds to a minute.

Limits:
    All weights become integers, small ones too, because an integer op needs integer weights.
    Layers without a bias are not corrected; the record names them.

References:
    Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference"; Nagel et al. 2019, "Data-Free Quantization Through Weight
    Equalization and Bias Correction".
"""

from __future__ import annotations

from typing import Literal

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.options import LinearWeights, linear_requests
from mobilesdk.graph.schemes import storable
from mobilesdk.plugins.contract import Tool

plugin_api = 1


class StaticActivations(StepConfig):
    """Activations as integers, e.g. ``{ bits = 8, observer = "minmax" }``.

    Attributes:
        bits: 8, or 16 where the runtime has kernels for it.
        observer: How a range follows from calibration values: their extremes, or the 99.999th
            percentiles, which many samples and rare outliers do not widen.
    """

    bits: Literal[8, 16] = 8
    observer: Literal["minmax", "percentile"] = "minmax"

    def scheme(self) -> ActivationScheme:
        """Give the scheme that these fields stand for."""
        return ActivationScheme(mode="static", bits=self.bits, observer=self.observer)


class Config(StepConfig):
    """Fields of a ``quantize_static`` entry.

    Attributes:
        weights: Scheme of all weights.
        activations: Scheme of all activations.
        overrides: Scheme of weights by role, where it differs.
        bias_correction: Whether biases make up for the mean error of their layers.
    """

    weights: LinearWeights = LinearWeights()
    activations: StaticActivations = StaticActivations()
    overrides: dict[WeightRole, LinearWeights] = {}
    bias_correction: bool = True


class QuantizeStatic:
    """The plug-in."""

    config = Config
    tools = (Tool(distribution="torch", extra="torch"),)
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.ON_GRID, Trait.QUANTIZED})
    adds = frozenset({Trait.ON_GRID, Trait.QUANTIZED})

    def needs(self, config: Config) -> Needs:  # noqa: ARG002  the same for every configuration
        """Tell what has to be given: samples, which fix the ranges of activations."""
        return Needs.CALIBRATION

    def request(self, config: Config, before: Request) -> Request:
        """Give what formats must be able to store: integer weights, static activations."""
        after = storable(linear_requests(config.weights, config.overrides), before)
        return Request(weights=after.weights, activations=config.activations.scheme())

    def apply(self, model: Model, config: Config, context: StepContext) -> Model:
        """Round the weights, and correct biases under rounded activations."""
        from mobilesdk.graph.compression import Compression, compress

        compression = Compression(
            method="quantize_static",
            requests=linear_requests(config.weights, config.overrides),
            activations=config.activations.scheme(),
            minimum_elements=0,
            corrects_biases=config.bias_correction,
            adds=self.adds,
        )
        return compress(model, compression, context)


PLUGIN = QuantizeStatic()
