"""Small networks, each with one way in which channels depend on each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE = (1, 3, 8, 8)
TOKENS = (1, 6, 16)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.one = nn.Conv2d(16, 24, 3, padding=1)
        self.two = nn.Conv2d(24, 16, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.norm(self.two(functional.hardswish(self.one(x))))
        return self.head(x.mean((2, 3)))


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3)
        self.two = nn.Conv2d(3, 16, 3)
        self.three = nn.Conv2d(24, 8, 3)
        self.head = nn.Linear(32 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.one(x), self.two(x).relu()], 1)
        x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 2)
        x = torch.cat([self.three(x).repeat_interleave(1, 0), x[:, :, :2, :2]], 1)
        return self.head(functional.interpolate(x, (3, 3)).flatten(1))


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 16, 1)
        self.depthwise = nn.Conv2d(16, 32, 3, groups=16, padding=1)
        self.project = nn.Conv2d(32, 8, 1)
        self.head = nn.Linear(8 * 64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.depthwise(functional.relu6(self.expand(x))))
        return self.head(self.project(x).flatten(1))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.grouped = nn.Conv2d(16, 24, 3, groups=4)
        self.head = nn.Conv2d(24, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.grouped(self.stem(x).relu()).relu()).mean((2, 3))


class SqueezeAndExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.reduce = nn.Conv2d(16, 8, 1)
        self.expand = nn.Conv2d(8, 16, 1)
        self.project = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.stem(x))
        gate = self.expand(functional.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        return self.project(x * gate.sigmoid()).mean((2, 3))


class TakenApart(nn.Module):
    """Halves of channels: by ``chunk``, by ``split`` and by a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3)
        self.one = nn.Conv2d(16, 16, 1)
        self.two = nn.Conv2d(24, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.stem(x).chunk(2, 1)
        first = self.one(first.relu() * second.sigmoid())
        small, large = first.split([8, 8], 1)
        x = torch.cat([small, large.tanh(), first[:, 4:12]], 1)
        return self.two(x).amax((2, 3))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 24, 3, stride=2, padding=1, output_padding=1)
        self.spread = nn.ConvTranspose2d(24, 24, 2, groups=24)
        self.grouped = nn.ConvTranspose2d(24, 16, 2, groups=4)
        self.head = nn.ConvTranspose2d(16, 3, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.down(x).relu()).relu()
        return self.head(self.grouped(self.spread(x).relu()).relu())


class Attention(nn.Module):
    """A block whose queries, keys and values come from one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 3 * 32)
        self.out = nn.Linear(32, 16)
        self.norm2 = nn.LayerNorm(16)
        self.up = nn.Linear(16, 48)
        self.down = nn.Linear(48, 16)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, _ = x.shape
        parts = self.qkv(self.norm(x)).reshape(batch, count, 3, 8, 4).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        heads = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(heads.transpose(1, 2).reshape(batch, count, 32))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class SeparateAttention(nn.Module):
    """Attention in single steps, with a mask for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 32, bias=False) for _ in range(3))
        self.mask = nn.Parameter(torch.randn(1, 8, 6, 6))
        self.out = nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).view(1, 6, 8, 4).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = (query @ key.transpose(-2, -1)) / 2.0 + self.mask
        heads = scores.softmax(-1) @ value
        return self.out(heads.transpose(1, 2).flatten(2))


class ChannelsLast(nn.Module):
    """What Keras makes of a network: channels last, layers between permutations."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 16, 3)
        self.two = nn.Conv2d(16, 8, 1)
        self.scale = nn.Parameter(torch.randn(16))
        self.head = nn.Parameter(torch.randn(8 * 36, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).permute(0, 2, 3, 1) * self.scale
        x = self.two(x.relu().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x.reshape(1, -1) @ self.head


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, IMAGE),
    "concatenated": (Concatenated, IMAGE),
    "depthwise": (Depthwise, IMAGE),
    "grouped": (Grouped, IMAGE),
    "squeeze_and_excite": (SqueezeAndExcite, IMAGE),
    "taken_apart": (TakenApart, IMAGE),
    "transposed": (Transposed, IMAGE),
    "attention": (Attention, TOKENS),
    "separate_attention": (SeparateAttention, TOKENS),
    "channels_last": (ChannelsLast, IMAGE),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Make a network with weights that hide nothing, and an example input for it."""
    torch.manual_seed(0)
    factory, shape = NETWORKS[name]
    module = factory().eval()
    for each in module.modules():
        if isinstance(each, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.normal_(each.bias)
    return module, torch.randn(shape)
