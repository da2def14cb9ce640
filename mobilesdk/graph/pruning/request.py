"""What a pruning step is asked to do: plain data, which loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Criterion = Literal["l1", "l2", "taylor"]


@dataclass(frozen=True)
class PruningRequest:
    """What is asked of a model.

    Attributes:
        ratio: Share of the channels that go, 0 … 1.
        layers: The same for layers by the name of their weight: a pattern, and its ratio.
        keep: Patterns of the names of weights whose channels stay.
        scope: Whether each layer loses its share, or the network as a whole.
        prunes_sums: Whether channels that are sums of what several layers give may go.
        importance: What tells which channels go.
        round_to: What stays of each layer is a multiple of this.
        reconstructs: Whether layers that lost inputs are fitted to what they gave before.
    """

    ratio: float
    layers: Mapping[str, float] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    scope: Literal["layer", "network"] = "layer"
    prunes_sums: bool = False
    importance: Criterion = "l2"
    round_to: int = 8
    reconstructs: bool = True

    @property
    def needs_samples(self) -> bool:
        """Whether it takes calibration samples."""
        return self.reconstructs or self.importance == "taylor"

    def is_kept(self, weight: str) -> bool:
        """Tell whether the channels of a layer are to stay."""
        return any(fnmatchcase(weight, pattern) for pattern in self.keep)

    def named(self, weight: str) -> str | None:
        """Give the first pattern of `layers` that a weight has."""
        return next((pattern for pattern in self.layers if fnmatchcase(weight, pattern)), None)

    def unmatched(self, weights: tuple[str, ...]) -> list[str]:
        """Give the patterns that no weight has."""
        return [
            pattern
            for pattern in (*self.layers, *self.keep)
            if not any(fnmatchcase(weight, pattern) for weight in weights)
        ]
