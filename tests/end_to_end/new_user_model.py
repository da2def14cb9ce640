"""A network that no example resembles; tests copy this file to where it knows nothing of mobilesdk.

Residual blocks, inverted residual blocks with squeeze and excite, a padded max pool, two kinds of
resizing, a concatenation, a group norm and a layer norm, an embedding of length 1, and logits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilesdk import ImageInput, ModelSpec

SIZE = 64


class Residual(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.short = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        self.short_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.short_norm(self.short(x)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    def __init__(self, channels: int, wide: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, wide, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(wide)
        self.depth = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.depth_norm = nn.BatchNorm2d(wide)
        self.gate = SqueezeExcite(wide)
        self.project = nn.Conv2d(wide, channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.expand_norm(self.expand(x)))
        y = self.gate(F.hardswish(self.depth_norm(self.depth(y))))
        y = self.project_norm(self.project(y))
        return x + y if x.shape == y.shape else y


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        self.residual = Residual(16, 32, 2)
        self.same = Inverted(32, 64, 3, 1)
        self.smaller = Inverted(32, 64, 5, 2)
        self.lateral = nn.Conv2d(32, 32, 1)
        self.fuse = nn.Conv2d(96, 64, 3, padding=1)
        self.group_norm = nn.GroupNorm(8, 64)
        self.layer_norm = nn.LayerNorm(64)
        self.embed = nn.Linear(64, 32)
        self.classify = nn.Linear(64, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.same(self.residual(self.stem(image)))
        y = self.smaller(x)
        near = F.interpolate(y, scale_factor=2, mode="nearest")
        smooth = F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)
        z = F.hardswish(self.group_norm(self.fuse(torch.cat([self.lateral(x), near, smooth], 1))))
        z = self.layer_norm(z.mean((2, 3)))
        return F.normalize(self.embed(z), dim=-1), self.classify(z)


def build() -> ModelSpec:
    torch.manual_seed(0)
    network = Network()
    batch_norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in batch_norms:
        norm.momentum = None  # statistics are the mean over all batches
    with torch.no_grad():
        for _ in range(8):
            coarse = torch.rand(4, 3, 6, 6) * 2 - 1
            network(F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic"))
    return ModelSpec(
        network.eval(),
        (torch.zeros(1, 3, SIZE, SIZE),),
        inputs={"image": ImageInput(size=(SIZE, SIZE), mean=127.5, std=127.5)},
        outputs={"embedding": "embedding", "logits": "classification"},
    )
