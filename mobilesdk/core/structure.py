"""What structured pruning took out of a model: the sidecar ``structure.json``."""

from __future__ import annotations

from mobilesdk.core.frozen import Frozen


class Cost(Frozen):
    """What a model takes.

    Attributes:
        macs: Multiply-accumulate operations of one run, in layers, products and attention.
        parameter_count: Elements of all parameters and buffers.
        size_bytes: Of these at float32.
    """

    macs: int
    parameter_count: int
    size_bytes: int


class PrunedDimension(Frozen):
    """Channels that the same layers make, and that were pruned together.

    Attributes:
        weights: Names of the weights that make them.
        units: That could go: channels, or groups of them that go together, such as heads.
        units_removed: That went.
        unit_width: Channels of the first weight in a unit.
        requested: Share that was asked for, 0 … 1.
        reason: Why another share went; empty if it is the same.
    """

    weights: tuple[str, ...]
    units: int
    units_removed: int
    unit_width: int
    requested: float
    reason: str = ""


class KeptChannels(Frozen):
    """Channels of a layer that stay, whatever is asked, and why."""

    weight: str
    channels: int
    reason: str


class RemovedIndices(Frozen):
    """Indices of a weight that went, along one axis of its shape before."""

    weight: str
    axis: int
    indices: tuple[int, ...]


class StructureRecord(Frozen):
    """All that a pruning step did to the structure of a model.

    Attributes:
        before: Cost of the model that it was given.
        after: Cost of the one that it gave.
        dimensions: What could be pruned.
        kept: What could not.
        removed: What went, weight by weight: with it the step can be replayed.
        notes: Layers whose weights were not fitted to what was left, each with the reason.
    """

    before: Cost
    after: Cost
    dimensions: tuple[PrunedDimension, ...]
    kept: tuple[KeptChannels, ...]
    removed: tuple[RemovedIndices, ...]
    notes: tuple[str, ...] = ()
