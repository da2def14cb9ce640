"""The smallest model: one linear layer, whose weights the stand-in exporter knows, too."""

import numpy as np
import torch

from mobilesdk import ArrayInput, ModelSpec

WEIGHT = np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4)
BIAS = np.arange(3, dtype=np.float32) / 4


def build():
    linear = torch.nn.Linear(4, 3)
    linear.load_state_dict({"weight": torch.from_numpy(WEIGHT), "bias": torch.from_numpy(BIAS)})
    return ModelSpec(
        linear.eval(),
        (torch.zeros(1, 4),),
        inputs={"x": ArrayInput()},
        outputs={"scores": "classification"},
    )


def refuse():
    raise RuntimeError("the weights are not where they should be")
