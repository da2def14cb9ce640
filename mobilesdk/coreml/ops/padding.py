"""How many elements convolutions and pools add around their input."""

from __future__ import annotations

from collections.abc import Sequence

from mobilesdk.coreml.ops.registry import OpError


def paddings(
    pad_type: str,
    pad: Sequence[int],
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Give the elements before and after each spatial axis.

    Args:
        pad_type: ``valid``: none; ``custom``: as ``pad`` says; ``same``, ``same_lower``: as many
            as give ceil(size / stride) results, an odd one after or before.
        pad: Before and after each axis in turn; empty for none.
        sizes: Of the spatial axes of the input.
        kernel: Of the kernel.
        strides: Of the kernel.
        dilations: Of the kernel.

    Raises:
        OpError: The type of padding is not known, or ``pad`` has another length.
    """
    if pad_type == "valid":
        return ((0, 0),) * len(kernel)
    if pad_type == "custom":
        given = list(pad) or [0] * (2 * len(kernel))
        if len(given) != 2 * len(kernel):
            raise OpError(f"{len(given)} paddings for {len(kernel)} spatial axes")
        return tuple(zip(given[::2], given[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise OpError(f"the pad type {pad_type!r} is not known")
    totals = [
        max((-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    pairs = [(total // 2, total - total // 2) for total in totals]
    return tuple(
        (after, before) if pad_type == "same_lower" else (before, after) for before, after in pairs
    )


def reversed_flat(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Give paddings in the order of torch: last axis first."""
    return [count for pair in reversed(pairs) for count in pair]
