"""A small network with two inputs and two outputs: an image of five channels, and a vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk import ArrayInput, ModelSpec

SIZE = 32
_COUNTS = {"calibration": 64, "evaluation": 48}
_SEEDS = {"calibration": 1, "evaluation": 2}


class TwoInputs(nn.Module):
    """Gives scores and a mask for an image, both steered by a vector of settings."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *_layer(nn.Conv2d(5, 64, 3, stride=2, padding=1, bias=False)),
            *_layer(nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)),
            *_layer(nn.Conv2d(64, 128, 1, bias=False)),
            *_layer(nn.Conv2d(128, 256, 3, stride=2, padding=1, bias=False)),
        )
        self.settings = nn.Linear(8, 256)
        self.scores = nn.Linear(256, 10)
        self.mask = nn.Sequential(
            nn.ConvTranspose2d(256, 64, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 1, 2, stride=2),
        )

    def forward(self, image: Tensor, settings: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``float32[1, 5, 32, 32]`` and ``[1, 8]`` to ``[1, 10]`` and ``[1, 1, 32, 32]``."""
        features = self.encoder(image) + self.settings(settings)[:, :, None, None]
        return self.scores(features.mean((2, 3))), self.mask(features)


def build() -> ModelSpec:
    torch.manual_seed(0)
    return ModelSpec(
        TwoInputs().eval(),
        (torch.zeros(1, 5, SIZE, SIZE), torch.zeros(1, 8)),
        inputs={"image": ArrayInput(), "settings": ArrayInput()},
        outputs={"scores": "other", "mask": "mask"},  # untrained: no class to agree on
    )


def write(folder: Path) -> None:
    """Write ``calibration.npz`` and ``evaluation.npz``: smooth random fields, random settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for subset, count in _COUNTS.items():
        generator = np.random.default_rng(_SEEDS[subset])
        coarse = generator.normal(size=(count, 5, SIZE // 4, SIZE // 4))
        np.savez(
            folder / f"{subset}.npz",
            image=coarse.repeat(4, axis=2).repeat(4, axis=3).astype(np.float32),
            settings=generator.normal(size=(count, 8)).astype(np.float32),
        )


def _layer(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6()
