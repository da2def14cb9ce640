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

from mobilesdk.core.scheme import ActivationScheme, Observer
from mobilesdk.core.step import StepConfig
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method
from mobilesdk.graph.options import LinearConfig

plugin_api = 1


class StaticActivations(StepConfig):
    """Activations as integers, e.g. ``{ bits = 8, observer = "minmax" }``.

    Attributes:
        bits: 8, or 16 where the runtime has kernels for it.
        observer: How a range follows from calibration values: their extremes (``minmax``), an
            average of each sample's extremes (``moving_average``), the 99.999th percentiles, which
            many samples and rare outliers do not widen (``percentile``), the least squared error
            (``mse``), or the least divergence of the distribution (``entropy``).
    """

    bits: Literal[8, 16] = 8
    observer: Observer = "minmax"

    def scheme(self) -> ActivationScheme:
        """Give the scheme that these fields stand for."""
        return ActivationScheme(mode="static", bits=self.bits, observer=self.observer)


class Config(LinearConfig):
    """Fields of a ``quantize_static`` entry.

    Attributes:
        activations: Scheme of all activations.
    """

    activations: StaticActivations = StaticActivations()

    def compression(self) -> Compression:
        """Ask for integer weights, small ones too, and static activations."""
        return Compression(
            self.requests(),
            activations=self.activations.scheme(),
            minimum_elements=0,
            corrects_biases=self.bias_correction,
            rounding=self.rounding,
        )


PLUGIN = Method("quantize_static", Config)
