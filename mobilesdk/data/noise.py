"""Tell an image from pure noise.

The statistic is the correlation of luminance between neighbouring pixels, the larger one of the
horizontal and the vertical. Noise that is independent from pixel to pixel, whatever its
distribution, lies at 0 give or take 1 / sqrt(pixels); scaling it down raises it to 0.26, storing it
as a JPEG of quality 30 to 0.29. Photos and drawings are smooth: 0.75 and above at their own
resolution (324 photos, and the pictures that scikit-image, scikit-learn and foolbox carry); coarse
textures scaled to 64 pixels reach down to 0.33. The limit of 0.3 lies between.

Noise that was scaled up, or stored as a JPEG of quality 10, is smooth too and is not recognised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NOISE_LIMIT = 0.3
_SMALLEST_SIDE_PIXELS = 16


def neighbour_correlation(luminance: NDArray[Any]) -> float:
    """Give the correlation of neighbouring pixels, the larger one of the two directions.

    Args:
        luminance: ``float[H, W]``, any offset and scale, at least two pixels each way.

    Returns:
        -1 … 1; 1 for an image of one colour.
    """
    centred = luminance.astype(np.float64) - luminance.mean(dtype=np.float64)
    variance = float(np.square(centred).mean())
    if variance == 0.0:
        return 1.0
    horizontal = float((centred[:, 1:] * centred[:, :-1]).mean())
    vertical = float((centred[1:] * centred[:-1]).mean())
    return max(horizontal, vertical) / variance


def is_noise(luminance: NDArray[Any]) -> bool:
    """Tell whether an image is pure noise; one smaller than 16 pixels is never called so."""
    if min(luminance.shape) < _SMALLEST_SIDE_PIXELS:
        return False
    return neighbour_correlation(luminance) < NOISE_LIMIT
