"""What compression methods have in common, as plug-ins: all but what they ask for.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import Request
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.schemes import storable
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

_ROUNDED = frozenset({Trait.ON_GRID, Trait.QUANTIZED})


class MethodConfig(StepConfig, ABC):
    """Base of the ``Config`` of a method."""

    @abstractmethod
    def compression(self) -> Compression:
        """Give what these fields ask for."""


@dataclass(frozen=True)
class Method:
    """A `Compressor` that works on exported programs; the same for every method.

    Attributes:
        name: Of its file, for the record.
        config: Fields of its ``[[compress]]`` table.
        adds: Traits of the result.
        forbids: Traits that the model must not have.
    """

    name: str
    config: type[MethodConfig]
    adds: frozenset[Trait] = _ROUNDED
    forbids: frozenset[Trait] = _ROUNDED

    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    takes_states = True
    takes_dimensions = True

    def needs(self, config: MethodConfig) -> Needs:
        """Ask for samples where biases are corrected, or ranges of activations will be fixed."""
        compression = config.compression()
        activations = compression.activations
        is_static = activations is not None and activations.mode == "static"
        return Needs.CALIBRATION if compression.corrects_biases or is_static else Needs.NONE

    def request(self, config: MethodConfig, before: Request) -> Request:
        """Give what formats must be able to store after this step."""
        compression = config.compression()
        after = storable(compression.requests, before)
        activations = compression.activations or before.activations
        return Request(weights=after.weights, activations=activations)

    def refuse(
        self,
        config: MethodConfig,  # noqa: ARG002  the protocol's signature
        summary: ModelSummary,  # noqa: ARG002
    ) -> list[str]:
        """Refuse nothing: exporters say what their formats cannot store."""
        return []

    def apply(self, model: Model, config: MethodConfig, context: StepContext) -> Model:
        """Put the weights onto their grids; see `compress`."""
        from mobilesdk.graph.compress import compress

        return compress(model, self.name, config.compression(), self.adds, context)
