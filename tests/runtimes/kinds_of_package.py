"""Two small networks: the float models of the packages that ``kinds_worker.py`` writes."""

import torch
from torch import Tensor, nn

from mobilesdk import ArrayInput, ImageInput, ModelSpec

LABELS = ("ant", "bee", "cat", "dog", "elk")


class Scores(nn.Module):
    """Five scores of an image of any size."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 64, 3)
        self.head = nn.Linear(64, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.stem(image).relu().mean((2, 3))).softmax(-1)


class RunningSum(nn.Module):
    """Adds to a buffer that outlives a run."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("total", torch.zeros(1, 4))
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x)
        return self.mix(self.total)


class FirstStep(RunningSum):
    """What `RunningSum` gives in the first run of a sequence; keeps nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.total + x)


def scores(labels: tuple[str, ...] | None = None) -> ModelSpec:
    return ModelSpec(
        Scores().eval(),
        (torch.zeros(1, 3, 8, 8),),
        inputs={"image": ImageInput(size=(8, 8), mean=127.5, std=127.5)},
        outputs={"scores": "classification"},
        labels=labels,
    )


def labelled() -> ModelSpec:
    return scores(LABELS)


def labelled_in_another_order() -> ModelSpec:
    return scores(LABELS[::-1])


def first_step() -> ModelSpec:
    return ModelSpec(
        FirstStep().eval(),
        (torch.zeros(1, 4),),
        inputs={"x": ArrayInput()},
        outputs={"y": "other"},
    )
