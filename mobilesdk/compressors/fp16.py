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

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole, WeightScheme
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.schemes import requests_by_role, storable
from mobilesdk.plugins.contract import Tool

plugin_api = 1

_HALF = WeightScheme(encoding="float", bits=16)


class Config(StepConfig):
    """Fields of an ``fp16`` entry.

    Attributes:
        activations: Bits of activations: 16, or 32 to store in float16 and compute in float32.
    """

    activations: Literal[16, 32] = 16


class Fp16:
    """The plug-in."""

    config = Config
    tools = (Tool(distribution="torch", extra="torch"),)
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.ON_GRID, Trait.QUANTIZED})
    adds: frozenset[Trait] = frozenset()

    def needs(self, config: Config) -> Needs:  # noqa: ARG002  the same for every configuration
        """Tell what has to be given: nothing."""
        return Needs.NONE

    def request(self, config: Config, before: Request) -> Request:
        """Give what formats must be able to store: float16 weights."""
        after = storable(_requests(), before)
        activations = ActivationScheme(mode="float", bits=config.activations)
        return Request(weights=after.weights, activations=activations)

    def apply(self, model: Model, config: Config, context: StepContext) -> Model:
        """Round the weights to float16."""
        from mobilesdk.graph.compression import Compression, compress

        compression = Compression(
            method="fp16",
            requests=_requests(),
            activations=ActivationScheme(mode="float", bits=config.activations),
            minimum_elements=0,
            corrects_biases=False,
            adds=self.adds,
        )
        return compress(model, compression, context)


def _requests() -> dict[WeightRole, WeightScheme]:
    return requests_by_role(_HALF, {"other": _HALF})


PLUGIN = Fp16()
