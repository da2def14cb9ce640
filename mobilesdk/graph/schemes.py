"""Which scheme a weight gets when its role or its shape does not allow the one asked for.

Plain data: importing this loads no torch, so that a plan can ask what formats have to store.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from mobilesdk.core.scheme import Request, WeightRole, WeightScheme, channels

COMPRESSIBLE_ROLES: tuple[WeightRole, ...] = (
    "conv",
    "depthwise",
    "conv_transpose",
    "linear",
    "embedding",
)
"""Roles that a method compresses when it is not told otherwise."""

MINIMUM_ELEMENTS = 2048
"""Weights with fewer elements stay as they are in methods that store weights only: scales and
tables would eat the saving, and the first layers of a network are its most sensitive ones."""

MINIMUM_BLOCK_SIZE = 8
"""Smaller blocks spend as much on scales as finer weights would cost."""

_TABLE_ENTRY_BITS = 16


def adapt_to_role(requested: WeightScheme, role: WeightRole) -> tuple[WeightScheme, str]:
    """Adapt what was asked for to a role, whatever the shape.

    A depthwise filter has so few elements that grids below 8 bits ruin the network for a saving
    that does not show: it gets 8 bits, per channel (linear) or in one table (palette).

    Returns:
        The scheme, and why it is not the requested one; an empty reason when it is.
    """
    if role != "depthwise" or requested.encoding == "float":
        return requested, ""
    if requested.encoding == "palette":
        planned = _replace(requested, bits=8, granularity="per_tensor", group_size=None)
    elif requested.bits < 8 or requested.granularity == "per_block":
        planned = _replace(requested, bits=8, granularity="per_channel", block_size=None)
    else:
        return requested, ""
    if planned == requested:
        return requested, ""
    return planned, f"a depthwise filter gets {planned}: it has few elements and each one counts"


def requests_by_role(
    default: WeightScheme, overrides: Mapping[WeightRole, WeightScheme]
) -> dict[WeightRole, WeightScheme]:
    """Give what is asked for each role: the override where there is one, else the default."""
    return dict.fromkeys(COMPRESSIBLE_ROLES, default) | dict(overrides)


def compose(requested: WeightScheme, before: WeightScheme) -> WeightScheme:
    """Combine what a step asks for with what earlier steps asked for.

    A request for float32 asks for no encoding, so the one from before stays. Zeros stay zeros, so
    the larger sparsity holds, with its pattern.
    """
    encoding = before if requested.encoding == "float" and requested.bits == 32 else requested
    zeros = max(requested, before, key=lambda scheme: scheme.sparsity)
    return _replace(
        encoding,
        sparsity=zeros.sparsity,
        kept=zeros.kept,
        sparse_block_size=zeros.sparse_block_size,
    )


def storable(requests: Mapping[WeightRole, WeightScheme], before: Request) -> Request:
    """Give what formats must be able to store after a step that makes these requests.

    Args:
        requests: What the step asks for, by role.
        before: What formats had to store before the step.
    """
    composed = {
        role: adapt_to_role(compose(scheme, before.weights.get(role, WeightScheme())), role)[0]
        for role, scheme in requests.items()
    }
    return Request(weights=before.weights | composed, activations=before.activations)


def plan_weight(
    requested: WeightScheme,
    role: WeightRole,
    shape: tuple[int, ...],
    *,
    before: WeightScheme | None = None,
    minimum_elements: int = MINIMUM_ELEMENTS,
) -> tuple[WeightScheme, str]:
    """Choose the scheme of one weight: the request, or the nearest one that its shape allows.

    Args:
        requested: What is asked for, composed with what was before (`compose`).
        role: What the weight is to the op that takes it.
        shape: As in torch.
        before: Scheme that it has now; float32 when ``None``.
        minimum_elements: Smaller weights stay as they are.

    Returns:
        The scheme, and why it is not the requested one; an empty reason when it is.
    """
    before = before or WeightScheme()
    if requested == before:
        return before, ""
    if prod(shape) < minimum_elements:
        return before, f"it has {prod(shape)} elements; below {minimum_elements} nothing is saved"
    planned, role_reason = adapt_to_role(requested, role)
    planned, zeros_reason = _fit_zeros(planned, before, *channels(role, shape))
    planned, shape_reason = _fit_shape(planned, *channels(role, shape), prod(shape))
    return planned, "; ".join(filter(None, (role_reason, zeros_reason, shape_reason)))


def _fit_zeros(
    scheme: WeightScheme, before: WeightScheme, out_channels: int, in_channels: int
) -> tuple[WeightScheme, str]:
    """Leave a weight dense if its channels do not divide into the pattern that is asked for."""
    count, size, which = out_channels, scheme.sparse_block_size or 1, "output"
    if scheme.kept is not None:
        count, size, which = in_channels, scheme.kept[1], "input"
    if count % size == 0 or before.sparsity:
        return scheme, ""
    dense = _replace(scheme, sparsity=0.0, kept=None, sparse_block_size=None)
    return dense, f"it stays dense: {size} does not divide its {count} {which} channels"


def _fit_shape(
    scheme: WeightScheme, out_channels: int, in_channels: int, elements: int
) -> tuple[WeightScheme, str]:
    if scheme.block_size is not None:
        return _fit_block(scheme, scheme.block_size, in_channels)
    if scheme.encoding == "palette" and scheme.granularity != "per_tensor":
        return _fit_group(scheme, scheme.group_size or 1, out_channels, elements)
    return scheme, ""


def _fit_block(scheme: WeightScheme, block_size: int, in_channels: int) -> tuple[WeightScheme, str]:
    size = _largest_divisor(in_channels, block_size)
    if size == in_channels:
        planned = _replace(scheme, granularity="per_channel", block_size=None)
        return planned, f"one block holds all {in_channels} input channels"
    if size < MINIMUM_BLOCK_SIZE:
        planned = _replace(scheme, granularity="per_channel", block_size=None)
        return planned, (
            f"no block of {MINIMUM_BLOCK_SIZE} to {block_size} channels divides {in_channels}"
        )
    if size < block_size:
        return _replace(scheme, block_size=size), f"{block_size} does not divide {in_channels}"
    return scheme, ""


def _fit_group(
    scheme: WeightScheme, group_size: int, out_channels: int, elements: int
) -> tuple[WeightScheme, str]:
    size = _largest_divisor(out_channels, group_size)
    entry_bits = scheme.table_bits or _TABLE_ENTRY_BITS
    tables_bits = (out_channels // size) * 2**scheme.bits * entry_bits
    if size == out_channels:
        planned = _replace(scheme, granularity="per_tensor", group_size=None)
        return planned, f"one group holds all {out_channels} output channels"
    if tables_bits > scheme.bits * elements:
        planned = _replace(scheme, granularity="per_tensor", group_size=None)
        whose = f"groups of {size}" if scheme.group_size else "each channel"
        return planned, f"tables for {whose} would be larger than the indices"
    if size < group_size:
        return _replace(scheme, group_size=size), f"{group_size} does not divide {out_channels}"
    return scheme, ""


def _largest_divisor(number: int, limit: int) -> int:
    return next(size for size in range(min(number, limit), 0, -1) if number % size == 0)


def _replace(scheme: WeightScheme, **changes: object) -> WeightScheme:
    """Change fields, and check again that they agree."""
    return WeightScheme.model_validate(scheme.model_dump() | changes)
