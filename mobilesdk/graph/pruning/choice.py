"""Choose the units that go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.structure import KeptChannels, PrunedDimension
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.pruning.counts import Asked, apportion, rank, steps_of
from mobilesdk.graph.pruning.dimensions import Dimension
from mobilesdk.graph.pruning.request import PruningRequest

_NAMED = 10
_SLACK = 1e-9


@dataclass(frozen=True)
class Choice:
    """What goes and what stays.

    Attributes:
        removed: Units that go.
        dimensions: What was asked of each dimension, and what it gets.
        kept: What stays whole.
    """

    removed: tuple[int, ...]
    dimensions: tuple[PrunedDimension, ...]
    kept: tuple[KeptChannels, ...]


def wanted_ratios(
    request: PruningRequest, dimensions: Sequence[Dimension], kept: Sequence[KeptChannels]
) -> tuple[list[tuple[Dimension, float]], tuple[KeptChannels, ...]]:
    """Pair each dimension that is to be pruned with its ratio; name all that stays.

    Raises:
        CompressionIncomplete: A layer that the profile names cannot be pruned, or none can.
    """
    wanted: list[tuple[Dimension, float]] = []
    staying = list(kept)
    reached: set[str] = set()
    for dimension in dimensions:
        reached.update(dimension.weights)
        reason = _why_not(request, dimension)
        if not reason:
            wanted.append((dimension, _ratio(request, dimension)))
            continue
        staying.append(
            KeptChannels(weight=dimension.weights[0], channels=dimension.width, reason=reason)
        )
    _check_named(request, kept, reached)
    if not wanted:
        raise CompressionIncomplete(
            f"No channel can be pruned: {_listed(staying)}.",
            hint="leave prune_channels out of the profile, or ask it for other layers.",
        )
    return wanted, tuple(staying)


def choose(
    request: PruningRequest,
    wanted: Sequence[tuple[Dimension, float]],
    importances: Sequence[NDArray[np.float64]],
    kept: tuple[KeptChannels, ...],
) -> Choice:
    """Choose the least important units of each dimension.

    Args:
        request: What is asked.
        wanted: Dimensions with their ratios.
        importances: Of the units of each dimension.
        kept: What stays whole.

    Raises:
        CompressionIncomplete: What is asked cannot be reached; names the layers.
    """
    asked = [
        Asked(dimension, ratio, steps_of(dimension, request.round_to))
        for dimension, ratio in wanted
    ]
    counts = _counts(request, asked, importances)
    removed: list[int] = []
    lines = []
    for each, count, values in zip(asked, counts, importances, strict=True):
        order = np.argsort(values, kind="stable")[:count]
        removed += [each.dimension.units[place] for place in order.tolist()]
        lines.append(_line(request, each, count))
    return Choice(tuple(sorted(removed)), tuple(lines), kept)


def _counts(
    request: PruningRequest,
    asked: Sequence[Asked],
    importances: Sequence[NDArray[np.float64]],
) -> list[int]:
    """Give the number of units that go, by dimension; layers named by themselves come first."""
    if request.scope == "layer":
        return apportion(asked)
    named = [any(map(request.named, each.dimension.weights)) for each in asked]
    own = iter(apportion([each for each, is_named in zip(asked, named, strict=True) if is_named]))
    rest = [place for place, is_named in enumerate(named) if not is_named]
    ranked = iter(rank([asked[place] for place in rest], [importances[place] for place in rest]))
    return [next(own) if is_named else next(ranked) for is_named in named]


def _why_not(request: PruningRequest, dimension: Dimension) -> str:
    """Say why the profile asks nothing of a dimension; empty if it does."""
    if any(map(request.is_kept, dimension.weights)):
        return "the profile keeps it"
    if _ratio(request, dimension) == 0.0:
        return "no ratio is asked of it"
    named = any(map(request.named, dimension.weights))
    if dimension.is_sum and not named and not request.prunes_sums:
        return "it is a sum of what several layers give, and residual_streams is false"
    return ""


def _ratio(request: PruningRequest, dimension: Dimension) -> float:
    named = (request.named(weight) for weight in dimension.weights)
    pattern = next((each for each in named if each is not None), None)
    return request.ratio if pattern is None else request.layers[pattern]


def _check_named(request: PruningRequest, kept: Sequence[KeptChannels], reached: set[str]) -> None:
    stuck = [each for each in kept if request.named(each.weight) and each.weight not in reached]
    if stuck:
        raise CompressionIncomplete(
            f"Layers that the profile names cannot be pruned: {_listed(stuck)}.",
            hint="narrow the pattern in layers to others.",
        )


def _listed(kept: Sequence[KeptChannels]) -> str:
    more = f"; and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
    return "; ".join(f"{each.weight}: {each.reason}" for each in kept[:_NAMED]) + more


def _line(request: PruningRequest, each: Asked, count: int) -> PrunedDimension:
    units = len(each.dimension.units)
    differs = abs(count - each.ratio * units) > _SLACK
    reason = f"what stays is a multiple of {request.round_to} channels" if differs else ""
    if (
        differs
        and request.scope == "network"
        and not any(map(request.named, each.dimension.weights))
    ):
        reason = "the ratio is of the network as a whole"
    return PrunedDimension(
        weights=each.dimension.weights,
        units=units,
        units_removed=count,
        unit_width=each.dimension.unit_width,
        requested=each.ratio,
        reason=reason,
    )
