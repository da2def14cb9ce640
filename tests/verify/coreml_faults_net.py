"""The float model of the packages that ``coreml_faults_worker.py`` writes."""

import torch
from torch import Tensor, nn

from mobilesdk import ArrayInput, ModelSpec


class Net(nn.Module):
    """Channels that 16 and 32 do not divide, a weight above 65,504 elements, a constant operand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.odd = nn.Conv2d(64, 60, 1)
        self.back = nn.Conv2d(60, 80, 1)
        self.register_buffer("positions", torch.randn(1, 80, 8, 8))
        self.head = nn.Linear(80, 1000)
        with torch.no_grad():
            self.head.weight[7] = 0

    def forward(self, image: Tensor) -> Tensor:
        y = nn.functional.hardtanh(self.odd(self.stem(image).relu()), 0.0, 6.0)
        return self.head((self.back(y) + self.positions).mean((2, 3)))


def build() -> ModelSpec:
    return ModelSpec(
        Net().eval(),
        (torch.zeros(1, 3, 8, 8),),
        inputs={"image": ArrayInput()},
        outputs={"linear": "classification"},
    )
