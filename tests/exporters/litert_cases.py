"""Export tiny models for LiteRT in a process of its own, and run what was written.

litert-torch must not meet coremltools in one process.
``python -m tests.exporters.litert_cases FOLDER [CASE]...``
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilesdk.core.dimension import Dimension
from mobilesdk.exporters.litert import PLUGIN as EXPORTER
from mobilesdk.runtimes.litert import PLUGIN as RUNTIME
from tests.exporters.cases import (
    ALL_INT8,
    DYNAMIC,
    HALF,
    IMAGE,
    INT4,
    INT4_BLOCKS,
    INT8,
    INT8_TENSOR,
    STATIC,
    STATIC16,
    Case,
    PreActivation,
    export,
    export_all,
    ids,
)


class Convolutions(nn.Module):
    """Convolutions as in MobileNet, with the activations that have to be fused into them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(image))
        x = nn.functional.relu6(self.depthwise(x))
        return self.head(self.project(x).mean((2, 3)))


class TwoInTwoOut(nn.Module):
    """Two inputs, two outputs, and a division by a value of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(32, 16)
        self.right = nn.Linear(32, 16)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.left(a), self.right(a) / (b[:, :16].abs() + 1)


class Text(nn.Module):
    """Ids, an embedding, a layer norm in front of a linear layer, and two constants added."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Parameter(torch.randn(1, 6, 32))
        self.kinds = nn.Parameter(torch.randn(1, 6, 32))
        self.norm = nn.LayerNorm(32)
        self.dense = nn.Linear(32, 64)
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        nn.init.normal_(self.norm.bias)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dense(self.norm(self.words(ids) + self.places + self.kinds)).mean(1)


class Nearest(nn.Module):
    """Resizing by ratios of which the converter gets one wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(image)
        return (
            nn.functional.interpolate(x, size=(7, 12), mode="nearest"),
            nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
        )


class Transposed(nn.Module):
    """A transposed convolution whose padding TRANSPOSE_CONV cannot express."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.up(image)


class Pooled(nn.Module):
    """Max pools of negative values with padding, and one that rounds its size up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv(image) - 3
        return (
            nn.functional.max_pool2d(x, 3, stride=2, padding=1),
            nn.functional.max_pool2d(x[:, :, :11], (5, 4), stride=3, padding=2),
            nn.functional.max_pool2d(x, 3, stride=2, ceil_mode=True),
        )


class UsedSum(nn.Module):
    """A sum that is an output, and that the last op takes too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(32, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.inner(x) + x
        return hidden, self.head(hidden)


class UsedLinear(nn.Module):
    """What a linear layer gives as an output, and twice as an operand of the last op."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(32, 32, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.inner(x)
        return hidden, hidden * hidden


class UsedConvolution(nn.Module):
    """What a convolution gives as an output, and as the input of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.first(image)
        return hidden, self.second(hidden)


class Lengths(nn.Module):
    """Texts of several lengths: places are rows of a table, and a norm is an output that is used.

    The table has more rows than any text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Embedding(40, 32)
        self.norm = nn.LayerNorm(32)
        self.dense = nn.Linear(32, 64)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        places = torch.arange(ids.shape[1])
        x = self.norm(self.words(ids) + self.places(places))
        return x, self.dense(x).mean(1)


class Antialias(nn.Module):
    """Resizing that LiteRT has not."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.interpolate(image, size=(5, 5), mode="bilinear", antialias=True)


class Counter(nn.Module):
    """A buffer that the model writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return x + self.count


PAIR = ((1, 32), (1, 32))
LENGTHS = (Dimension(name="length", sizes=(6, 16), axes={"ids": 1}),)
CASES = {
    "float": Case(Convolutions, IMAGE),
    "half": Case(Convolutions, IMAGE, dict.fromkeys(ALL_INT8, HALF)),
    "weights8": Case(Convolutions, IMAGE, ALL_INT8),
    "weights4": Case(Convolutions, IMAGE, {"conv": INT4, "depthwise": INT8, "linear": INT4}),
    "mixed": Case(Convolutions, IMAGE, {"conv": INT8_TENSOR, "linear": INT8}, DYNAMIC),
    "static": Case(Convolutions, IMAGE, ALL_INT8, STATIC),
    "static_partial": Case(Convolutions, IMAGE, {"conv": INT8, "linear": INT8}, STATIC),
    "static16": Case(Convolutions, IMAGE, ALL_INT8, STATIC16),
    "static_int_io": Case(Convolutions, IMAGE, ALL_INT8, STATIC, {"float_io": False}),
    "pre_activation": Case(PreActivation, IMAGE, ALL_INT8, STATIC),
    "two_static": Case(TwoInTwoOut, PAIR, ALL_INT8, STATIC),
    "text_blocks": Case(
        Text, ((1, 6),), {"linear": INT4_BLOCKS, "embedding": INT8}, DYNAMIC, draw=ids
    ),
    "text_nnapi": Case(Text, ((1, 6),), ALL_INT8, STATIC, {"op_set": "nnapi"}, draw=ids),
    "nearest": Case(Nearest, ((1, 3, 3, 4),)),
    "nearest_nnapi": Case(Nearest, ((1, 3, 3, 4),), options={"op_set": "nnapi"}),
    "transposed": Case(Transposed, ((1, 3, 5, 5),), {"conv_transpose": INT8}),
    "pooled": Case(Pooled, IMAGE),
    "pooled_static": Case(Pooled, IMAGE, ALL_INT8, STATIC),
    "used_sum": Case(UsedSum, ((1, 32),), ALL_INT8, STATIC),
    "used_linear": Case(UsedLinear, ((1, 32),), ALL_INT8, STATIC),
    "used_convolution": Case(UsedConvolution, IMAGE, ALL_INT8, STATIC),
    "lengths": Case(Lengths, ((1, 6),), ALL_INT8, DYNAMIC, draw=ids, dimensions=LENGTHS),
    "lengths_static": Case(Lengths, ((1, 6),), ALL_INT8, STATIC, draw=ids, dimensions=LENGTHS),
    "antialias": Case(Antialias, IMAGE),
    "mutable": Case(Counter, ((1, 4),)),
}


if __name__ == "__main__":
    exports = {name: partial(export, case, EXPORTER, RUNTIME) for name, case in CASES.items()}
    export_all(exports, Path(sys.argv[1]), sys.argv[2:])
