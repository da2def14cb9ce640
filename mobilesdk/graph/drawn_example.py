"""Draw example inputs for a model that comes without."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mobilesdk.core.contract import Contract
from mobilesdk.errors import InvalidModel


def stated_shapes(names: Sequence[str], given: Contract | None) -> dict[str, Sequence[int]]:
    """Give the shapes that a contract states, by the names that the model has for its inputs."""
    if given is None:
        return {}
    if len(given.inputs) == len(names):
        return dict(zip(names, (spec.shape for spec in given.inputs), strict=True))
    return {spec.name: spec.shape for spec in given.inputs}


def draw_input(
    what: str,
    shape: Sequence[int | None],
    dtype_name: str,
    stated: Sequence[int] | None,
    generator: torch.Generator,
) -> Tensor:
    """Draw normal numbers, or give zeros of integers; a batch whose size is open is 1.

    Args:
        what: The input, in messages.
        shape: ``None`` for axes that are open.
        dtype_name: As the framework calls it.
        stated: Shape that is taken where the input's own is open.
        generator: Of the numbers.

    Raises:
        InvalidModel: An axis stays open, or the dtype is none of numbers.
    """
    sizes = list(shape)
    if stated is not None and len(stated) == len(sizes):
        sizes = [own if own is not None else int(n) for own, n in zip(sizes, stated, strict=True)]
    if sizes and sizes[0] is None:
        sizes[0] = 1
    if None in sizes:
        raise InvalidModel(
            f"{what} has the shape {list(shape)}: axis {sizes.index(None)} is open.",
            hint="state its shape in a contract (--contract), or give the input a whole shape "
            "where the model is made.",
        )
    dtype = getattr(torch, dtype_name, None)
    if not isinstance(dtype, torch.dtype):
        raise InvalidModel(
            f"{what} takes {dtype_name}, not numbers.",
            hint="let the model begin behind the part that makes numbers of it, and leave that "
            "part to the app.",
        )
    if not dtype.is_floating_point:
        return torch.zeros(sizes, dtype=dtype)
    return torch.randn(sizes, generator=generator).to(dtype)
