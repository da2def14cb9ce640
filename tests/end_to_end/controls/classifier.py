"""A classifier of a few KB whose logits depend on colours."""

import torch
from torch import nn

from mobilesdk import ImageInput, ModelSpec

SIZE = 32


class Classifier(nn.Module):
    """Sums over pixels at its end: XNNPACK has no such op."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.head = nn.Linear(32, 6)

    def features(self, image):
        x = nn.functional.relu6(self.first(image))
        return nn.functional.relu6(self.second(x)).sum((2, 3))

    def forward(self, image):
        return self.head(self.features(image))


def build():
    torch.manual_seed(0)
    model = Classifier().eval()
    with torch.no_grad():
        coarse = torch.rand(64, 3, 4, 4) * 2 - 1
        features = model.features(nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear"))
        model.head.weight /= features.std(0)
        model.head.bias.copy_(-0.5 * (model.head.weight @ features.mean(0)))
    return ModelSpec(
        model,
        (torch.zeros(1, 3, SIZE, SIZE),),
        inputs={"image": ImageInput(size=(SIZE, SIZE), mean=127.5, std=127.5)},
        outputs={"logits": "classification"},
    )
