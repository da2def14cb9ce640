"""Among targets of a platform the priority decides which one a phone gets: no two have the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobilesdk.targets.faults import Fault, dotted
from mobilesdk.targets.lines import KeyPath, line_of, locate
from mobilesdk.targets.target import Target

_KEY: KeyPath = ("match", "priority")

Loaded = tuple[Target, Path]
"""A target and its file."""


def priority_faults(targets: Sequence[Loaded], others: Sequence[Loaded] = ()) -> list[Fault]:
    """Find targets that share platform and priority with another one.

    Args:
        targets: Those that may be at fault.
        others: Those that they are compared with besides.

    Returns:
        A fault for each of ``targets`` that shares its priority, at the line that says it. Targets
        of one id stand for each other: they are never built together.
    """
    everyone = [*targets, *others]
    faults = []
    for target, path in targets:
        same = sorted({other.id for other, _ in everyone if _clash(target, other)})
        if same:
            taken = {o.match.priority for o, _ in everyone if _same_platform(target, o)}
            faults.append(
                Fault(
                    path=path,
                    line=line_of(_KEY, locate(path.read_text(encoding="utf-8"))),
                    key=dotted(_KEY),
                    message=f"{target.match.priority} is the priority of {', '.join(same)} too",
                    hint=f"give each target of a platform its own; {_free(target, taken)} is free",
                )
            )
    return faults


def _same_platform(one: Target, other: Target) -> bool:
    return one.device.platform == other.device.platform


def _clash(one: Target, other: Target) -> bool:
    same_rank = one.match.priority == other.match.priority
    return one.id != other.id and same_rank and _same_platform(one, other)


def _free(target: Target, taken: set[int]) -> int:
    """Give the next higher priority that no target of the platform has."""
    priority = target.match.priority
    while priority in taken:
        priority += 1
    return priority
