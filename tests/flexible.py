"""Models of which a size differs from call to call, and one that takes a size for a constant."""

import numpy as np
import torch
from torch import nn

from mobilesdk import ArrayInput, Dimension, ImageInput, ModelSpec, TokenInput

VOCABULARY, WIDTH, HEADS, POSITIONS = 40, 64, 2, 24
LENGTH = Dimension(name="length", min=3, max=POSITIONS, axes={"ids": 1, "mask": 1})


class Encoder(nn.Module):
    """One layer of a text encoder: an embedding of the text, and one of each token."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.randn(POSITIONS, WIDTH))
        self.queries, self.keys, self.values = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.mixed = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids, mask):
        x = self.words(ids) + self.positions[: ids.shape[1]]
        q, k, v = (
            part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        )
        scores = q @ k.transpose(-1, -2) / 2.8 + (1.0 - mask)[:, None, None, :] * -1e4
        found = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = self.norm(x + self.mixed(found))
        kept = mask.unsqueeze(-1)
        return {"text": (x * kept).sum(1) / kept.sum(1), "tokens": x}


class Baked(Encoder):
    """Keeps a number that Python makes of the length."""

    def forward(self, ids, mask):
        return super().forward(ids, mask * (1.0 / int(ids.shape[1])))


class Pixels(nn.Module):
    """A fully convolutional net: classes of the image, and of each pixel of half its size."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image):
        x = self.second(nn.functional.relu6(self.norm(self.first(image))))
        return x.mean((2, 3)), x


def texts(length=12, dimensions=(LENGTH,), kind=Encoder):
    """The text encoder; every fourth position of the example is masked."""
    torch.manual_seed(0)
    ids = torch.arange(length).remainder(VOCABULARY)[None]
    mask = (torch.arange(length) % 4 != 3).float()[None]
    return ModelSpec(
        kind().eval(),
        (ids, mask),
        inputs={"ids": TokenInput(vocabulary_size=VOCABULARY), "mask": ArrayInput()},
        outputs={"text": "embedding", "tokens": "other"},
        dimensions=dimensions,
    )


def listed():
    """The net for square images of three sizes."""
    return images((Dimension(name="side", sizes=(16, 32, 48), axes={"image": (2, 3)}),))


def listed_texts():
    """The text encoder for texts of three lengths."""
    axes = {"ids": 1, "mask": 1}
    return texts(dimensions=(Dimension(name="length", sizes=(6, 12, 20), axes=axes),))


def calibration():
    return _samples(1)


def evaluation():
    return _samples(2)


def image_calibration():
    return _images(1)


def image_evaluation():
    return _images(2)


def _samples(seed):
    random = np.random.default_rng(seed)
    for _ in range(32):
        mask = np.arange(12)[None] < random.integers(3, 13)
        yield {"ids": random.integers(0, VOCABULARY, (1, 12)), "mask": mask.astype(np.float32)}


def _images(seed):
    random = np.random.default_rng(seed)
    for _ in range(32):
        coarse = random.uniform(0, 255, (1, 3, 8, 8)).repeat(4, 2).repeat(4, 3)
        yield ((coarse - 127.5) / 64).astype(np.float32)


def images(dimensions=None):
    """The net for images of 16 to 48 pixels in height and 20 to 40 in width."""
    torch.manual_seed(0)
    module = Pixels()
    module(torch.randn(8, 3, 24, 24))  # statistics of the batch norm
    sides = (
        Dimension(name="height", min=16, max=48, axes={"image": 2}),
        Dimension(name="width", min=20, max=40, axes={"image": 3}),
    )
    return ModelSpec(
        module.eval(),
        (torch.randn(1, 3, 32, 32),),
        inputs={"image": ImageInput(size=(32, 32), mean=127.5, std=64.0)},
        outputs={"logits": "classification", "pixels": "other"},
        dimensions=sides if dimensions is None else dimensions,
    )
