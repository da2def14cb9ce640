"""Take whole channels, attention heads and hidden units out of the network.

What it does:
    Finds which channels depend on each other (residuals, concatenations, depthwise and grouped
    convolutions, gates, heads), removes the least important ones, and gives the layers that took
    them the weights that come nearest to what they gave before: linear least squares on the
    calibration set, without labels. The model is smaller and dense, and every runtime gains.
    What cannot be pruned (outputs, what a layer norm spans, an op without a rule) stays whole;
    ``structure.json`` names each such layer with the reason, and all channels that went.

When to use:
    Phones with little memory and slow CPUs, where a loss is accepted. From a network that was not
    trained for it, expect to keep accuracy up to a ratio of about 0.1. It is the first step of a
    profile; methods that round follow it.

Cost:
    64 calibration samples (none with ``reconstruction = false`` and a norm as importance); seconds
    to minutes: each layer is solved once.

Limits:
    Convolutions in groups (other than depthwise ones) and layers that share weights are not fitted;
    the record names them. Models with states are refused: a state that is as wide as a layer would
    have to be pruned with it. A group of channels that goes as a whole can be large in grouped
    convolutions. The scales of batch norms are folded into the weights before, so that the norm of
    a filter holds them.

References:
    Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"; Li et al. 2017, "Pruning Filters
    for Efficient ConvNets"; Molchanov et al. 2019, "Importance Estimation for Neural Network
    Pruning"; He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks";
    Michel et al. 2019, "Are Sixteen Heads Really Better than One?".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import Request
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.pruning.request import Criterion, PruningRequest
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

plugin_api = 1

Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]


class Config(StepConfig):
    """Fields of a ``prune_channels`` entry.

    Attributes:
        ratio: Share of all channels that can be pruned which go, 0 or more and below 1. Together
            they lose no less.
        layers: Ratio of single layers by the name of their weight, which may hold ``*`` and ``?``;
            the first that matches counts.
        keep: Names of weights, with ``*`` and ``?``, whose channels stay.
        scope: ``layer``: each layer loses its share. ``network``: the least important channels of
            the whole network go; the importance of each layer's channels is 1 on average.
        residual_streams: Whether channels that are sums of what several layers give may go: the
            streams of residual networks, on which every block depends. Layers that are named in
            ``layers`` may in any case.
        importance: Norm of the weights that make and take a channel (``l1``, ``l2``), or what the
            loss would change without it, to first order (``taylor``).
        round_to: What stays of each layer is a multiple of this.
        reconstruction: Whether the layers that lost inputs are fitted to what they gave before.
    """

    ratio: Ratio
    layers: dict[str, Ratio] = {}
    keep: tuple[str, ...] = ()
    scope: Literal["layer", "network"] = "layer"
    residual_streams: bool = False
    importance: Criterion = "l2"
    round_to: Annotated[int, Field(ge=1)] = 8
    reconstruction: bool = True

    @field_validator("importance", mode="before")
    @classmethod
    def _no_batch_norms(cls, value: Any) -> Any:
        if value == "bn_scale":
            raise ValueError(
                "bn_scale: batch norms are folded into the weights before any method runs; "
                "l2 holds their scales"
            )
        return value

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.ratio and not any(self.layers.values()):
            raise ValueError("a ratio of 0 prunes nothing: give one, or name layers")
        return self

    def pruning(self) -> PruningRequest:
        """Give what these fields ask for."""
        return PruningRequest(
            ratio=self.ratio,
            layers=self.layers,
            keep=self.keep,
            scope=self.scope,
            prunes_sums=self.residual_streams,
            importance=self.importance,
            round_to=self.round_to,
            reconstructs=self.reconstruction,
        )


@dataclass(frozen=True)
class ChannelPruning:
    """A `Compressor` that changes the structure of exported programs."""

    config = Config
    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.HALF, Trait.SPARSE, Trait.ON_GRID, Trait.QUANTIZED, Trait.PRUNED})
    adds = frozenset({Trait.PRUNED})

    def needs(self, config: Config) -> Needs:
        """Ask for samples where layers are fitted or channels weighed by them."""
        return Needs.CALIBRATION if config.pruning().needs_samples else Needs.NONE

    def request(
        self,
        config: Config,  # noqa: ARG002  the protocol's signature
        before: Request,
    ) -> Request:
        """Ask formats for nothing: the model is another one, in the same schemes."""
        return before

    def refuse(self, config: Config, summary: ModelSummary) -> list[str]:
        """Name the patterns that no weight of the model has."""
        names = tuple(weight.name for weight in summary.weights)
        return [
            f"prune_channels names {pattern!r}, which is no weight of the model"
            for pattern in config.pruning().unmatched(names)
        ]

    def apply(self, model: Model, config: Config, context: StepContext) -> Model:
        """Take the channels out; see `prune`."""
        from mobilesdk.graph.pruning.prune import prune

        return prune(model, "prune_channels", config.pruning(), context)


PLUGIN = ChannelPruning()
