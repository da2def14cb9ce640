"""How many units of each dimension go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.pruning.dimensions import Dimension

_SLACK = 1e-9  # of a float product against an integer


@dataclass(frozen=True)
class Asked:
    """What is asked of a dimension.

    Attributes:
        ratio: Share of its channels that are to go.
        steps: How many units may go, so that what stays is a multiple; 0 comes first.
    """

    dimension: Dimension
    ratio: float
    steps: tuple[int, ...]

    @property
    def channels(self) -> float:
        """Channels that are to go."""
        return self.ratio * self.dimension.width


def steps_of(dimension: Dimension, round_to: int) -> tuple[int, ...]:
    """Give the numbers of units that may go: what stays is a multiple of ``round_to`` channels.

    Args:
        dimension: To be made smaller; at least one unit stays.
        round_to: In channels.
    """
    count = len(dimension.units)
    return (
        0,
        *(
            gone
            for gone in range(1, count)
            if (count - gone) * dimension.unit_width % round_to == 0
        ),
    )


def apportion(asked: Sequence[Asked]) -> list[int]:
    """Let each dimension lose its share, rounded so that all together lose no less than asked.

    Each one is rounded down first. Then those with the largest remainder take one step more, until
    the total is reached.

    Returns:
        Units that go, by dimension.

    Raises:
        CompressionIncomplete: The total cannot be reached; names what is too narrow.
    """
    total = sum(each.channels for each in asked)
    planned = [_below(each) for each in asked]
    remainders = []
    for place, each in enumerate(asked):
        above = next((step for step in each.steps if step > planned[place]), None)
        wanted = each.channels / each.dimension.unit_width - planned[place]
        if above is not None and wanted > _SLACK:
            remainders.append((-wanted / (above - planned[place]), place, above))
    for _, place, above in sorted(remainders):
        if _channels(asked, planned) >= total - _SLACK:
            break
        planned[place] = above
    if _channels(asked, planned) < total - _SLACK:
        raise _too_narrow(asked, planned, total)
    return planned


def rank(asked: Sequence[Asked], importances: Sequence[NDArray[np.float64]]) -> list[int]:
    """Let the least important channels of all dimensions go, wherever they are.

    Args:
        asked: All with the same ratio, which is of all their channels together.
        importances: Of the units of each dimension; each mean counts as 1.

    Returns:
        Units that go, by dimension.

    Raises:
        CompressionIncomplete: The total cannot be reached; names what is too narrow.
    """
    total = sum(each.channels for each in asked)
    scaled = [np.sort(values) / max(values.mean(), np.finfo(float).tiny) for values in importances]
    planned = [0] * len(asked)
    while _channels(asked, planned) < total - _SLACK:
        offers = []
        for place, each in enumerate(asked):
            above = next((step for step in each.steps if step > planned[place]), None)
            if above is not None:
                loss = float(scaled[place][planned[place] : above].mean())
                offers.append((loss / each.dimension.unit_width, place, above))
        if not offers:
            raise _too_narrow(asked, planned, total)
        _, place, above = min(offers)
        planned[place] = above
    return planned


def _below(each: Asked) -> int:
    wanted = each.channels / each.dimension.unit_width
    return max(step for step in each.steps if step <= wanted + _SLACK)


def _channels(asked: Sequence[Asked], planned: Sequence[int]) -> int:
    return sum(
        each.dimension.unit_width * count for each, count in zip(asked, planned, strict=True)
    )


def _too_narrow(
    asked: Sequence[Asked], planned: Sequence[int], total: float
) -> CompressionIncomplete:
    short = [
        f"{each.dimension.weights[0]} ({each.dimension.width} channels)"
        for each, count in zip(asked, planned, strict=True)
        if each.dimension.unit_width * count < each.channels - _SLACK
    ]
    return CompressionIncomplete(
        f"{total:.0f} channels are to go, and {_channels(asked, planned)} can: too narrow for "
        f"another multiple are {', '.join(short)}.",
        hint="lower round_to or the ratio, or name these layers in keep.",
    )
