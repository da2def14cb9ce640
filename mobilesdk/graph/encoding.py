"""Give a weight values that its planned scheme can hold."""

from __future__ import annotations

from torch import Tensor

from mobilesdk.core.scheme import WeightRecord, WeightScheme
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.importance import importance
from mobilesdk.graph.palette import round_palette
from mobilesdk.graph.rounding import round_linear
from mobilesdk.graph.sparsity import zero_elements


def encode(
    weight: Tensor, record: WeightRecord, before: WeightScheme, energy: Tensor | None = None
) -> Tensor:
    """Round a weight to what its scheme can hold.

    Args:
        weight: float32, shape as in torch, with the zeros of its scheme (`with_zeros`).
        record: What was planned for it.
        before: The scheme that it has now; nothing is done if that is the planned one.
        energy: Mean square of each input channel, float32, which tables are fitted to; every
            element counts alike when ``None``.

    Returns:
        A new float32 tensor of the same shape.

    Raises:
        CompressionIncomplete: A value does not fit into float16.
    """
    planned, role = record.planned, record.role
    if planned == before:
        return weight.clone()
    if planned.encoding == "linear":
        return round_linear(weight, role, planned)[0]
    if planned.encoding == "palette":
        counts = None if energy is None else importance(energy, role, record.shape)
        return round_palette(weight, role, planned, counts)[0]
    return _round_float(weight, record)


def with_zeros(weight: Tensor, record: WeightRecord, before: WeightScheme) -> Tensor:
    """Set the elements to zero that the planned scheme does without.

    Raises:
        CompressionIncomplete: A value is not finite.
    """
    if not bool(weight.isfinite().all()):
        raise CompressionIncomplete(
            f"{record.name} holds values that are not finite.",
            hint="repair the checkpoint: no scheme can store them.",
        )
    if record.planned.sparsity <= before.sparsity:
        return weight
    return zero_elements(weight, record.role, record.planned)


def _round_float(weight: Tensor, record: WeightRecord) -> Tensor:
    if record.planned.bits == 32:
        return weight.clone()
    rounded = weight.half().float()
    if not bool(rounded.isfinite().all()):
        raise CompressionIncomplete(
            f"{record.name} holds {weight.abs().max():.3g}, which is too large for float16.",
            hint="build without the fp16 method, or scale the weight down in the model.",
        )
    return rounded
