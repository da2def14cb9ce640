"""Export tiny models for Core AI in a process of its own, and run what was written.

coreai-core must not meet coremltools in one process.
``python -m tests.exporters.coreai_cases FOLDER [CASE]...``
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.exporters.coreai import PLUGIN as EXPORTER
from mobilesdk.runtimes.coreai import PLUGIN as RUNTIME
from tests.exporters.cases import (
    ALL_INT8,
    HALF,
    IMAGE,
    INT8,
    STATIC,
    Case,
    export,
    export_all,
    ids,
)

BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=8)
AFFINE = WeightScheme(encoding="linear", bits=8, symmetric=False, granularity="per_channel")
PALETTE6 = WeightScheme(encoding="palette", bits=6)
GROUPS = WeightScheme(encoding="palette", bits=4, granularity="per_group", group_size=8)
SPARSE = WeightScheme(sparsity=0.5)
FLOAT32 = {"compute_precision": "float32"}


class Convolutions(nn.Module):
    """Convolutions of every kind, a sum, a pool, a join and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(16, 16, 2, stride=2)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(image))
        x = x + self.project(nn.functional.relu6(self.depthwise(x)))
        y = torch.relu(self.up(nn.functional.max_pool2d(x, 2)))
        return self.head(nn.functional.silu(torch.cat([x, y], 1)).mean((2, 3)))


class Encoder(nn.Module):
    """Ids, an embedding, attention with a mask, norms: what becomes functions of the program."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.kind = nn.Parameter(torch.randn(1, 6, 32))
        self.places = nn.Parameter(torch.randn(1, 6, 32))
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.kind + self.places
        return self.layer(x, src_key_padding_mask=ids == 0).mean(1)


class Narrow(nn.Module):
    """A weight of 8 bits whose values would fit into 4, and a constant that float16 cannot hold."""

    def __init__(self, added: float) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randint(-7, 8, (16, 16)) / 127 + torch.eye(16) * 0)
            self.linear.weight[:, 0] = 1.0
        self.added = nn.Buffer(torch.full((1, 16), added))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.added


class Complex(nn.Module):
    """An op that Core AI has not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x).abs()


CASES = {
    "float": Case(Convolutions, IMAGE, options=FLOAT32),
    "half": Case(Convolutions, IMAGE, dict.fromkeys(ALL_INT8, HALF)),
    "weights8": Case(Convolutions, IMAGE, ALL_INT8, options=FLOAT32),
    "affine8": Case(Convolutions, IMAGE, {"conv": AFFINE, "linear": AFFINE}, options=FLOAT32),
    "blocks4": Case(
        Convolutions,
        IMAGE,
        {"conv_transpose": BLOCKS, "linear": BLOCKS, "depthwise": INT8},
        options=FLOAT32,
    ),
    "palettes": Case(Convolutions, IMAGE, {"conv": PALETTE6, "linear": PALETTE6}),
    "groups": Case(Convolutions, IMAGE, {"conv_transpose": GROUPS}, options=FLOAT32),
    "sparse": Case(Convolutions, IMAGE, {"conv": SPARSE, "linear": SPARSE}, options=FLOAT32),
    "static": Case(Convolutions, IMAGE, ALL_INT8, STATIC, FLOAT32),
    "static_half": Case(Convolutions, IMAGE, {**ALL_INT8, "depthwise": HALF}, STATIC),
    "encoder": Case(
        Encoder, ((1, 6),), {"linear": INT8, "embedding": INT8}, options=FLOAT32, draw=ids
    ),
    "half_encoder": Case(Encoder, ((1, 6),), {"linear": INT8, "embedding": INT8}, draw=ids),
    "narrow": Case(partial(Narrow, 1.0), ((1, 16),), ALL_INT8, options=FLOAT32),
    "overflow": Case(partial(Narrow, 1e6), ((1, 16),), {"linear": INT8}),
    "complex": Case(Complex, ((1, 16),)),
    "uncalibrated": Case(Convolutions, IMAGE, ALL_INT8, STATIC, calibrated=False),
}


if __name__ == "__main__":
    exports = {name: partial(export, case, EXPORTER, RUNTIME) for name, case in CASES.items()}
    export_all(exports, Path(sys.argv[1]), sys.argv[2:])
