"""Example models, and the scripts that make their calibration and evaluation sets."""
