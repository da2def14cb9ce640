"""The sizes that the dimensions of a contract allow, and what follows for shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.flexibility import Flexibility

Sizes = dict[str, int]
"""Dimension → its size in one call."""


def shape_at(contract: Contract, spec: InputSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Give the shape of an input where dimensions have some sizes, and else their own."""
    shape = list(spec.shape)
    for each in contract.dimensions:
        for axis in each.axes.get(spec.name, ()):
            shape[axis] = sizes.get(each.name, shape[axis])
    return tuple(shape)


def sizes_of(contract: Contract, shapes: Mapping[str, Sequence[int]]) -> Sizes | None:
    """Give the sizes that dimensions have in the shapes of a call.

    Args:
        contract: Of the model.
        shapes: Of every input, by name.

    Returns:
        ``None`` if the contract does not allow these shapes.
    """
    sizes: Sizes = {}
    for each in contract.dimensions:
        found = {
            shapes[name][axis] if axis < len(shapes[name]) else 0
            for name, axes in each.axes.items()
            for axis in axes
        }
        if len(found) != 1 or not each.allows(min(found)):
            return None
        sizes[each.name] = min(found)
    fits = all(
        tuple(shapes[spec.name]) == shape_at(contract, spec, sizes) for spec in contract.inputs
    )
    return sizes if fits else None


def own_sizes(contract: Contract) -> Sizes:
    """Give the sizes of all dimensions in the shapes of the contract, which the example has."""
    shapes = {spec.name: spec.shape for spec in contract.inputs}
    return {
        each.name: next(shapes[name][axes[0]] for name, axes in each.axes.items() if axes)
        for each in contract.dimensions
    }


def listed_sizes(contract: Contract) -> tuple[Sizes, ...]:
    """Give every combination of listed sizes, that of the example first.

    Returns:
        Empty if there are no dimensions, or if one is a range.
    """
    if not contract.dimensions or not all(each.sizes for each in contract.dimensions):
        return ()
    names = [each.name for each in contract.dimensions]
    own = own_sizes(contract)
    every = (
        dict(zip(names, sizes, strict=True))
        for sizes in product(*(each.sizes for each in contract.dimensions))
    )
    return (own, *(sizes for sizes in every if sizes != own))


def judged_sizes(contract: Contract) -> tuple[Sizes, ...]:
    """Give the sizes at which a model and its artifacts are held against the float model.

    Its own come first. If all dimensions are lists, every combination of sizes follows. Else all
    dimensions at their smallest, all in between, and all at their largest; each listed size; and,
    where there are several dimensions, each at its smallest while the others are at their largest.
    """
    listed = listed_sizes(contract)
    if listed or not contract.dimensions:
        return listed
    ladders = {each.name: _ladder(each) for each in contract.dimensions}
    steps = max(map(len, ladders.values()))
    found = [own_sizes(contract)]
    found += [
        {name: ladder[min(step, len(ladder) - 1)] for name, ladder in ladders.items()}
        for step in range(steps)
    ]
    if len(ladders) > 1:
        found += [
            {name: ladder[0 if name == low else -1] for name, ladder in ladders.items()}
            for low in ladders
        ]
    return tuple(sizes for place, sizes in enumerate(found) if sizes not in found[:place])


def label(sizes: Mapping[str, int]) -> str:
    """Name sizes: ``height=64,width=96``."""
    return ",".join(f"{name}={size}" for name, size in sizes.items())


def flexibility_of(contract: Contract, spec: InputSpec) -> Flexibility | None:
    """Give the shapes that an input may have; None if that is one."""
    own = [each for each in contract.dimensions if each.axes.get(spec.name)]
    if not own:
        return None
    if all(each.sizes for each in own):
        choices = product(*(each.sizes for each in own))
        names = [each.name for each in own]
        return Flexibility(
            shapes=tuple(
                shape_at(contract, spec, dict(zip(names, sizes, strict=True))) for sizes in choices
            )
        )
    low = shape_at(contract, spec, {each.name: each.min for each in own})
    high = shape_at(contract, spec, {each.name: each.max for each in own})
    return Flexibility(ranges=tuple(zip(low, high, strict=True)))


def _ladder(dimension: Dimension) -> tuple[int, ...]:
    if dimension.sizes:
        return dimension.sizes
    between = (dimension.min + dimension.max) // 2
    return tuple(sorted({dimension.min, between, dimension.max}))
