"""How weights and activations are represented: the vocabulary between compressors and exporters.

A compressor says, for every weight, which scheme it should have, and leaves the weight's values on
that grid. An exporter stores the values in its format's encoding of the scheme. A runtime reads the
scheme back from the written file. The ledger compares the three.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mobilesdk.core.frozen import Frozen

WeightRole = Literal["conv", "depthwise", "conv_transpose", "linear", "embedding", "other"]
Observer = Literal["minmax", "moving_average", "percentile", "mse", "entropy"]
Granularity = Literal["per_tensor", "per_channel", "per_block", "per_group"]


class WeightScheme(Frozen):
    """How one weight is stored.

    Attributes:
        encoding: ``float``: plain numbers of ``bits`` 16 or 32. ``linear``: integers with scales.
            ``palette``: indices of ``bits`` bits into a lookup table.
        bits: Bits per element, without scales, tables and masks.
        symmetric: Linear only: the zero point is the middle of the range.
        granularity: What shares one scale or one table: the tensor; an output channel; a block of
            ``block_size`` consecutive input channels (linear); ``group_size`` consecutive output
            channels (palette).
        block_size: Input channels per block, for ``per_block``.
        group_size: Output channels per table, for ``per_group``.
        table_bits: Bits of a table's entries, palette only: 8 for integers with a scale for each
            table; None for floats in the type that the program computes in.
        sparsity: Share of elements that are zero by request, 0 … 1; 0 when dense.
        kept: Where zeros have a pattern ``n:m``: of every ``m`` consecutive input channels at most
            ``n`` are kept. None for any other.
        sparse_block_size: Where zeros come in blocks: so many consecutive output channels are zero
            together, at each input channel and position. None for any other.
    """

    encoding: Literal["float", "linear", "palette"] = "float"
    bits: int = 32
    symmetric: bool = True
    granularity: Granularity = "per_tensor"
    block_size: int | None = None
    group_size: int | None = None
    table_bits: Literal[8] | None = None
    sparsity: float = 0.0
    kept: tuple[int, int] | None = None
    sparse_block_size: int | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> WeightScheme:
        allowed = {"float": (16, 32), "linear": (2, 4, 8, 16), "palette": (1, 2, 3, 4, 6, 8)}
        if self.bits not in allowed[self.encoding]:
            raise ValueError(f"{self.encoding} weights have {allowed[self.encoding]} bits")
        if (self.granularity == "per_block") != (self.block_size is not None):
            raise ValueError("block_size goes with granularity per_block, and only with it")
        if (self.granularity == "per_group") != (self.group_size is not None):
            raise ValueError("group_size goes with granularity per_group, and only with it")
        if self.table_bits is not None and self.encoding != "palette":
            raise ValueError("table_bits goes with palette")
        if not 0.0 <= self.sparsity < 1.0:
            raise ValueError("sparsity lies in 0 … 1")
        if self.kept is not None and not 0 < self.kept[0] < self.kept[1]:
            raise ValueError("kept is n of m, 0 < n < m")
        if self.sparse_block_size is not None and self.sparse_block_size < 2:
            raise ValueError("sparse_block_size is at least 2")
        if (self.kept or self.sparse_block_size) and not self.sparsity:
            raise ValueError("a pattern of zeros goes with sparsity")
        if self.kept and self.sparse_block_size:
            raise ValueError("zeros have one pattern: kept or sparse_block_size")
        return self

    def __str__(self) -> str:
        if self.encoding == "float":
            name = f"float{self.bits}"
        else:
            scope = {
                "per_tensor": "/tensor",
                "per_channel": "/channel",
                "per_block": f"/block{self.block_size}",
                "per_group": f"/group{self.group_size}",
            }[self.granularity]
            kind = "int" if self.encoding == "linear" else "palette"
            variant = "" if self.symmetric else "-affine"
            variant += f"-int{self.table_bits}" if self.table_bits else ""
            name = f"{kind}{self.bits}{variant}{scope}"
        return f"{name} {self._zeros()}" if self.sparsity else name

    def _zeros(self) -> str:
        if self.kept is not None:
            return f"sparse{self.kept[0]}:{self.kept[1]}"
        blocks = f"/block{self.sparse_block_size}" if self.sparse_block_size else ""
        return f"sparse{100 * self.sparsity:.0f}%{blocks}"


def channels(role: WeightRole, shape: tuple[int, ...]) -> tuple[int, int]:
    """Give the numbers of output and input channels of a weight.

    Args:
        role: What the weight is to the op that takes it.
        shape: As in torch: ``[out, in / groups, …]``; ``[in, out / groups, …]`` for a transposed
            convolution; ``[rows, width]`` for an embedding, whose rows count as output channels.
    """
    first, second = (*shape, 1, 1)[:2]
    return (second, first) if role == "conv_transpose" else (first, second)


class ActivationScheme(Frozen):
    """How activations are represented between ops.

    Attributes:
        mode: ``float``; ``static`` integers with ranges fixed at build time; ``dynamic`` integers
            with ranges found at run time.
        bits: 32 or 16 for ``float``, 8 or 16 for the others.
        observer: How a static range follows from calibration values.
    """

    mode: Literal["float", "static", "dynamic"] = "float"
    bits: int = 32
    observer: Observer = "minmax"

    @model_validator(mode="after")
    def _fields_agree(self) -> ActivationScheme:
        allowed = {"float": (16, 32), "static": (8, 16), "dynamic": (8,)}
        if self.bits not in allowed[self.mode]:
            raise ValueError(f"{self.mode} activations have {allowed[self.mode]} bits")
        return self

    def __str__(self) -> str:
        return f"float{self.bits}" if self.mode == "float" else f"{self.mode} int{self.bits}"


class Request(Frozen):
    """What a profile asks of a format, known before anything runs: the planner's question.

    Attributes:
        weights: Scheme by role of the weight; a role that is missing stays as it is.
        activations: Scheme of all activations.
    """

    weights: dict[WeightRole, WeightScheme] = {}
    activations: ActivationScheme = ActivationScheme()


class WeightRecord(Frozen):
    """What a compressor decided for one weight; a sidecar of the model, an input of the ledger.

    Attributes:
        name: Fully qualified name in the exported program's state.
        role: What the weight is to the op that takes it.
        shape: Shape as in torch.
        requested: What the profile asked for.
        planned: What this weight is to get: the request, or the nearest scheme that its shape and
            role allow.
        reason: Why the two differ; empty when they do not.
    """

    name: str
    role: WeightRole
    shape: tuple[int, ...]
    requested: WeightScheme
    planned: WeightScheme
    reason: str = ""


class CompressionRecord(Frozen):
    """The sidecar ``compression.json`` beside an exported program: what exporters have to store."""

    weights: tuple[WeightRecord, ...] = ()
    activations: ActivationScheme = ActivationScheme()
    methods: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
