"""Store weights as float16, and compute in float16 where asked.

What it does:
    Rounds every weight to float16. ``activations = 16`` also asks the format to compute in float16;
    with 32, runtimes unpack the weights and compute in float32.

When to use:
    GPUs and the Neural Engine, which compute in float16 natively; half the size at next to no loss.
    Before ``palettize`` or ``quantize_weights`` it says how the rest of the network is stored.

Cost:
    No data; under a second.

Limits:
    A weight beyond 65,504 does not fit and is refused. Activations beyond that overflow on the
    device; parity shows it.

References:
    IEEE 754-2008, binary16.
"""

from __future__ import annotations

from typing import Literal

from mobilesdk.core.form import Trait
from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method, MethodConfig
from mobilesdk.graph.schemes import requests_by_role

plugin_api = 1


class Config(MethodConfig):
    """Fields of an ``fp16`` entry.

    Attributes:
        activations: Bits of activations: 16, or 32 to store in float16 and compute in float32.
    """

    activations: Literal[16, 32] = 16

    def compression(self) -> Compression:
        """Ask for float16 weights, small ones and those outside layers too."""
        half = WeightScheme(encoding="float", bits=16)
        return Compression(
            requests_by_role(half, {"other": half}),
            activations=ActivationScheme(mode="float", bits=self.activations),
            minimum_elements=0,
            corrects_biases=False,
        )


PLUGIN = Method("fp16", Config, adds=frozenset({Trait.HALF}))
