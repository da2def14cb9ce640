"""A small network with two inputs and two outputs: an image of five channels, and a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mobilesdk import ArrayInput, ModelSpec


class TwoInputs(nn.Module):
    """Gives class scores and a mask for an image, both steered by a vector of settings."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(5, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 32, 1),
        )
        self.settings = nn.Linear(8, 32)
        self.scores = nn.Linear(32, 10)
        self.mask = nn.ConvTranspose2d(32, 1, 2, stride=2)

    def forward(self, image: Tensor, settings: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``float32[1, 5, 32, 32]`` and ``[1, 8]`` to ``[1, 10]`` and ``[1, 1, 32, 32]``."""
        features = self.encoder(image) + self.settings(settings)[:, :, None, None]
        return self.scores(features.mean((2, 3))), self.mask(features)


def build() -> ModelSpec:
    torch.manual_seed(0)
    return ModelSpec(
        TwoInputs().eval(),
        (torch.zeros(1, 5, 32, 32), torch.zeros(1, 8)),
        inputs={"image": ArrayInput(), "settings": ArrayInput()},
        outputs={"scores": "classification", "mask": "mask"},
    )
