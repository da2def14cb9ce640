"""What a model is at the moment (form), and what has been done to it (trait)."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """What a model is while steps work on it. Compressors keep the form; exporters change it.

    What an exporter makes has the name of its format as its form.
    """

    EXPORTED_PROGRAM = "exported_program"  # a .pt2 that our own worker wrote


class Trait(StrEnum):
    """What has been done to a model. The order of steps follows from these."""

    FOLDED = "folded"  # batch norms folded, activations fused, no-op nodes removed
    PRUNED = "pruned"  # channels were taken out
    HALF = "half"  # weights are rounded to float16
    SPARSE = "sparse"
    ON_GRID = "on_grid"  # weights lie on the grid of their scheme; biases are corrected for it
    QUANTIZED = "quantized"  # weights and activations have their final schemes


class Needs(StrEnum):
    """What a compression method has to be given."""

    NONE = "none"
    CALIBRATION = "calibration"
    TRAINING = "training"
