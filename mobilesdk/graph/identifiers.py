"""Names of another framework, written as names of torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import torch


def unique_names(paths: Iterable[str], separator: str) -> Iterator[str]:
    """Write paths as names with another separator than the slash.

    A name that is taken, or the beginning of one, gets a number.
    """
    taken: set[str] = set()
    beginnings: set[str] = set()
    for path in paths:
        base = separator.join(_identifier(part) for part in path.split("/") if part)
        name, number = base, 1
        while name in taken or name in beginnings or not taken.isdisjoint(_beginnings(name)):
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        beginnings.update(_beginnings(name))
        yield name


def _identifier(text: str) -> str:
    """Make a name for an attribute, other than those that modules of torch have."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if name.isidentifier() and not hasattr(torch.nn.Module, name) else f"_{name}"


def _beginnings(name: str) -> Iterator[str]:
    """Give the names of the parts that hold what a dotted name stands for."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))
