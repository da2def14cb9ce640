"""Small networks of the kinds that no image model covers, with random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Down twice, up once by a transposed convolution and once by bilinear resizing, with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _convolutions(3, 16)
        self.second = _convolutions(16, 32)
        self.bottom = _convolutions(32, 64)
        self.up = nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.third = _convolutions(64, 32)
        self.fourth = _convolutions(48, 16)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Give ``[1, 4, H, W]`` for ``[1, 3, H, W]``."""
        first = self.first(image)
        second = self.second(functional.max_pool2d(first, 2, 2))
        bottom = self.bottom(functional.max_pool2d(second, 2, 2))
        up = self.third(torch.cat([self.up(bottom), second], 1))
        up = functional.interpolate(up, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(self.fourth(torch.cat([up, first], 1)))


class Detector(nn.Module):
    """Scores and boxes of a grid of anchors; the best ones by ``topk`` and ``gather``."""

    def __init__(self, best: int = 10) -> None:
        super().__init__()
        self.best = best
        self.body = nn.Sequential(
            _convolutions(3, 16), nn.MaxPool2d(2, 2), _convolutions(16, 32), nn.MaxPool2d(2, 2)
        )
        self.scores = nn.Conv2d(32, 1, 1)
        self.boxes = nn.Conv2d(32, 4, 1)

    def candidates(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give scores ``[1, N]`` and boxes ``[1, N, 4]`` with corners in 0 … 1."""
        features = self.body(image)
        scores = self.scores(features).flatten(1)
        offsets = self.boxes(features).flatten(2).transpose(1, 2).sigmoid()
        corner, size = offsets.split(2, 2)
        return scores, torch.cat([corner, corner + size], 2) / 2

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the best scores, their boxes and their places."""
        scores, boxes = self.candidates(image)
        best, places = scores.topk(self.best, 1)
        chosen = torch.gather(boxes, 1, places[:, :, None].expand(-1, -1, 4))
        return best, chosen, places.to(torch.int32)


class SuppressingDetector(Detector):
    """The same, but overlapping boxes are suppressed; the number of results is open."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the boxes that are kept, and their scores."""
        from torchvision.ops import nms

        scores, boxes = self.candidates(image)
        kept = nms(boxes[0], scores[0], 0.3)
        return boxes[0][kept], scores[0][kept]


class Recurrent(nn.Module):
    """Recurrent layers in both directions over ``[1, time, 24]``, and a linear layer."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], layers: int) -> None:
        super().__init__()
        self.layers = kind(24, 48, num_layers=layers, bidirectional=True, batch_first=True)
        self.head = nn.Linear(96, 12)

    def forward(self, sequence: Tensor) -> Tensor:
        """Give ``[1, time, 12]`` for ``[1, time, 24]``."""
        return self.head(self.layers(sequence)[0])


class Decoder(nn.Module):
    """A decoder that keeps its keys and values in float16 buffers, one token per call."""

    def __init__(self, layers: int = 2, width: int = 64, heads: int = 4, length: int = 24) -> None:
        super().__init__()
        self.heads = heads
        self.tokens = nn.Embedding(128, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 128)
        self.register_buffer("range", torch.arange(length), persistent=False)
        for layer in range(layers):
            for kind in ("keys", "values"):
                cache = torch.zeros(1, heads, length, width // heads, dtype=torch.float16)
                self.register_buffer(f"{kind}_{layer}", cache)

    def forward(self, token: Tensor, place: Tensor) -> Tensor:
        """Give ``[1, 1, 128]`` logits for ``int32[1, 1]`` and ``int32[1]``."""
        x = self.tokens(token) + self.places(place)
        here = (self.range == place).reshape(1, 1, -1, 1)
        hidden = (self.range > place).to(x.dtype) * -1e4
        for layer, block in enumerate(self.blocks):
            q, k, v = (
                block.mix(block.first(x)).reshape(1, 1, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            )
            keys = self._written(f"keys_{layer}", k, here).to(x.dtype)
            values = self._written(f"values_{layer}", v, here).to(x.dtype)
            scores = (q @ keys.transpose(2, 3)) * q.shape[-1] ** -0.5 + hidden
            attended = (scores.softmax(-1) @ values).transpose(1, 2).reshape(1, 1, -1)
            x = x + block.out(attended)
            x = x + block.feed(block.second(x))
        return self.head(self.norm(x))

    def _written(self, name: str, new: Tensor, here: Tensor) -> Tensor:
        cache = getattr(self, name)
        cache.copy_(torch.where(here, new.to(cache.dtype), cache))
        return cache


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
