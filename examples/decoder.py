"""A small decoder with a key-value cache: one token per call, the cache in buffers.

Four layers, 128 wide, random weights, a vocabulary of 256. It has learnt nothing, so its figures
say whether an artifact computes what the module computes, and nothing about language.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilesdk import ArrayInput, ModelSpec, TokenInput

LAYERS = 4
WIDTH = 128
HEADS = 4
VOCABULARY = 256
LENGTH = 64
_STEPS = 32
_COUNTS = {"calibration": 48, "evaluation": 32}
_SEEDS = {"calibration": 1, "evaluation": 2}
_HIDDEN = -1e4  # added to the scores of positions that are yet to come; within the range of float16


class Attention(nn.Module):
    """Attention over what the cache holds up to the present position."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)
        for name in ("keys", "values"):
            cache = torch.zeros(1, HEADS, LENGTH, WIDTH // HEADS)
            self.register_buffer(name, cache, persistent=False)
        self.keys: Tensor
        self.values: Tensor

    def forward(self, hidden: Tensor, is_here: Tensor, mask: Tensor) -> Tensor:
        """Map ``float32[1, 1, 128]`` to the same shape; put its key and value into the cache.

        Args:
            hidden: Of the present token.
            is_here: ``bool[64, 1]``, true at the present position.
            mask: ``float32[64]``, added to the scores.
        """
        query, key, value = (
            layer(hidden).reshape(1, 1, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        self.keys.copy_(torch.where(is_here, key, self.keys))
        self.values.copy_(torch.where(is_here, value, self.values))
        scores = query @ self.keys.transpose(2, 3) / (WIDTH // HEADS) ** 0.5 + mask
        mixed = scores.softmax(-1) @ self.values
        mapped: Tensor = self.output(mixed.transpose(1, 2).reshape(1, 1, WIDTH))
        return mapped


class Layer(nn.Module):
    """Attention and a multilayer perceptron, each with a norm before it and a sum behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor, is_here: Tensor, mask: Tensor) -> Tensor:
        """Map ``float32[1, 1, 128]`` to the same shape."""
        hidden = hidden + self.attention(self.attention_norm(hidden), is_here, mask)
        mapped: Tensor = self.down(functional.gelu(self.up(self.mlp_norm(hidden))))
        return hidden + mapped


class Decoder(nn.Module):
    """Gives the scores of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.scores = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, token: Tensor, position: Tensor) -> Tensor:
        """Map a token, ``int64[1, 1]``, at a position, ``int64[1]``, to ``float32[1, 256]``."""
        places = torch.arange(LENGTH)
        mask = (places > position).to(torch.float32) * _HIDDEN
        hidden = self.tokens(token) + self.positions(position)
        for layer in self.layers:
            hidden = layer(hidden, (places == position)[:, None], mask)
        scores: Tensor = self.scores(self.norm(hidden))
        return scores[:, 0]


def build() -> ModelSpec:
    torch.manual_seed(0)
    return ModelSpec(
        Decoder().eval(),
        (torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)),
        inputs={"token": TokenInput(vocabulary_size=VOCABULARY), "position": ArrayInput()},
        outputs={"logits": "tokens"},
        family="transformer",
    )


def write(folder: Path) -> None:
    """Write ``calibration.npz`` and ``evaluation.npz``: sequences of 32 random tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    for subset, count in _COUNTS.items():
        generator = np.random.default_rng(_SEEDS[subset])
        positions = np.arange(_STEPS).reshape(1, _STEPS, 1).repeat(count, axis=0)
        np.savez(
            folder / f"{subset}.npz",
            token=generator.integers(VOCABULARY, size=(count, _STEPS, 1, 1)),
            position=positions,
        )
