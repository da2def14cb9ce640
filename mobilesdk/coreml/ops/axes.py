"""Axes counted from either end, and settings that go with the axes of a tensor one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sized

from mobilesdk.coreml.ops.registry import OpError


def axis_of(axis: int, rank: int) -> int:
    """Give an axis counted from the start.

    Args:
        axis: From -rank to rank - 1; negative ones count from the end.
        rank: Axes that there are.

    Raises:
        OpError: There is no such axis.
    """
    if not -rank <= axis < rank:
        raise OpError(f"axis {axis} of a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def axes_of(axes: Iterable[int], rank: int) -> list[int]:
    """Give axes counted from the start, in their order.

    Raises:
        OpError: There is none of a number, or one is named twice.
    """
    found = [axis_of(axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise OpError(f"the axes {found} name one twice")
    return found


def check_lengths(count: int, what: str, **given: Sized) -> None:
    """Refuse settings that are not as many as what they are for.

    Args:
        count: How many are needed.
        what: What they are for, in the plural.
        given: By the name of the argument.

    Raises:
        OpError: There are more or fewer.
    """
    for name, values in given.items():
        if len(values) != count:
            raise OpError(f"its argument {name} has {len(values)} values for {count} {what}")
