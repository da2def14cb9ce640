"""The networks that are compared: how each is built, and what it is given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.parity import networks

Samples = list[tuple[Tensor, ...]]
Route = Literal["pipeline", "traced", "stateful"]

SAMPLE_COUNT = 4
_STATISTICS_COUNT = 16  # images that BatchNorm statistics come from
_NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Case:
    """A network and its inputs.

    Attributes:
        kind: What it stands for.
        build: Gives the module, in evaluation mode, and four samples.
        route: How it becomes a package: through mobilesdk's own preparation and lowering;
            ``torch.jit.trace`` and coremltools, for what only tracing keeps whole; the exported
            program with its buffers and coremltools, as a state, where calls follow each other.
        shape: Of the inputs, for the table.
    """

    kind: str
    build: Callable[[], tuple[nn.Module, Samples]]
    route: Route
    shape: str


def _timm(name: str, size: int, **options: object) -> Callable[[], tuple[nn.Module, Samples]]:
    def build() -> tuple[nn.Module, Samples]:
        import timm

        torch.manual_seed(0)
        module = timm.create_model(name, pretrained=False, **options)
        return enliven(module, size), [(smooth_image(size),) for _ in range(SAMPLE_COUNT)]

    return build


def _own(make: Callable[[], nn.Module], size: int) -> Callable[[], tuple[nn.Module, Samples]]:
    def build() -> tuple[nn.Module, Samples]:
        torch.manual_seed(0)
        return enliven(make(), size), [(smooth_image(size),) for _ in range(SAMPLE_COUNT)]

    return build


def enliven(module: nn.Module, size: int) -> nn.Module:
    """Give random weights what training would: no branch is multiplied by zero.

    Norms and layer scales get weights around 1, and BatchNorm the statistics of smooth images.

    Args:
        module: With fresh weights; changed in place.
        size: Height and width of the images, in pixels.
    """
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, _NORMS) and layer.weight is not None:
                layer.weight.normal_(1.0, 0.2)
                layer.bias.normal_(0.0, 0.2)
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the average of all batches
                layer.reset_running_stats()
        for name, weight in module.named_parameters():
            if "gamma" in name or "layer_scale" in name:
                weight.normal_(0.5, 0.2)
        module.train()
        _without_dropout(module)
        module(torch.cat([smooth_image(size) for _ in range(_STATISTICS_COUNT)]))
    return module.eval()


def _without_dropout(module: nn.Module) -> None:
    for layer in module.modules():
        if "Drop" in type(layer).__name__:
            layer.eval()


def smooth_image(size: int) -> Tensor:
    """Give ``[1, 3, size, size]``: random colours of large patches, blended, about -2 … 2."""
    coarse = torch.randn(1, 3, 8, 8)
    fine = functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return fine + 0.05 * torch.randn(1, 3, size, size)


def _recurrent_case(kind: type[nn.LSTM] | type[nn.GRU], layers: int, steps: int) -> Case:
    def build() -> tuple[nn.Module, Samples]:
        torch.manual_seed(0)
        module = networks.Recurrent(kind, layers).eval()
        return module, [(torch.randn(1, steps, 24),) for _ in range(SAMPLE_COUNT)]

    whole = layers > 1
    name = f"{kind.__name__} {'kept whole, two layers' if whole else 'unrolled in time'}"
    return Case(name, build, "traced" if whole else "pipeline", f"{steps} × 24")


def _decoder() -> tuple[nn.Module, Samples]:
    torch.manual_seed(0)
    tokens = torch.randint(0, 128, (16,), dtype=torch.int32)
    places = torch.arange(16, dtype=torch.int32)
    return networks.Decoder().eval(), [
        (token.reshape(1, 1), place.reshape(1)) for token, place in zip(tokens, places, strict=True)
    ]


def _efficientnet_lite0() -> tuple[nn.Module, Samples]:
    from PIL import Image

    from examples import photos

    spec = import_module("examples.efficientnet_lite0").build()
    with tempfile.TemporaryDirectory() as folder:
        photos.write(Path(folder))
        paths = sorted((Path(folder) / "evaluation").iterdir())[::12][:SAMPLE_COUNT]
        pixels = [np.asarray(Image.open(path), np.float32) for path in paths]
    images = [torch.from_numpy((each - 127.0) / 128.0).permute(2, 0, 1)[None] for each in pixels]
    return spec.module, [(image.contiguous(),) for image in images]


def _minilm() -> tuple[nn.Module, Samples]:
    from examples import sentences

    spec = import_module("examples.minilm").build()
    with tempfile.TemporaryDirectory() as folder:
        sentences.write(Path(folder))
        stored = dict(np.load(Path(folder) / "evaluation.npz"))
    pairs = zip(stored["ids"], stored["mask"], strict=True)
    tensors = [(torch.from_numpy(ids)[None], torch.from_numpy(mask)[None]) for ids, mask in pairs]
    return spec.module, tensors[:: len(tensors) // SAMPLE_COUNT][:SAMPLE_COUNT]


def _image_case(kind: str, name: str, size: int, **options: object) -> Case:
    return Case(kind, _timm(name, size, **options), "pipeline", f"3 × {size} × {size}")


def _small(kind: str, make: Callable[[], nn.Module], size: int, route: Route = "pipeline") -> Case:
    return Case(kind, _own(make, size), route, f"3 × {size} × {size}")


CASES: dict[str, Case] = {
    "efficientnet_lite0": Case(
        "depthwise convolutions, ImageNet weights",
        _efficientnet_lite0,
        "pipeline",
        "3 × 224 × 224",
    ),
    "minilm": Case("text transformer, trained weights", _minilm, "pipeline", "64 tokens"),
    "resnet18": _image_case("plain convolutions", "resnet18", 96),
    "densenet121": _image_case("dense connections", "densenet121", 96),
    "mobilenetv3_large_100": _image_case(
        "depthwise, hard swish, squeeze and excite", "mobilenetv3_large_100", 96
    ),
    "efficientnet_b0": _image_case("depthwise, squeeze and excite", "efficientnet_b0", 96),
    "regnety_002": _image_case("grouped convolutions, squeeze and excite", "regnety_002", 96),
    "convnext_atto": _image_case("ConvNeXt", "convnext_atto", 96),
    "vit_tiny_patch16_224": _image_case(
        "vision transformer", "vit_tiny_patch16_224", 96, img_size=96
    ),
    "swin_tiny_patch4_window7_224": _image_case(
        "hierarchical transformer", "swin_tiny_patch4_window7_224", 224
    ),
    "mobilevit_xxs": _image_case("convolutions and attention", "mobilevit_xxs", 128),
    "fastvit_t8": _image_case("re-parameterised hybrid", "fastvit_t8", 128),
    "edgenext_xx_small": _image_case("cross-covariance attention", "edgenext_xx_small", 128),
    "unet": _small("U-Net", networks.UNet, 64),
    "detector": _small("detector head: topk, gather", networks.Detector, 64),
    "detector_nms": _small(
        "detector with non-maximum suppression", networks.SuppressingDetector, 64, "traced"
    ),
    "lstm": _recurrent_case(nn.LSTM, 1, 6),
    "gru": _recurrent_case(nn.GRU, 1, 6),
    "lstm_native": _recurrent_case(nn.LSTM, 2, 20),
    "gru_native": _recurrent_case(nn.GRU, 2, 20),
    "decoder": Case("decoder with a key-value cache as a state", _decoder, "stateful", "16 tokens"),
}


def convnext_atto() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Give a network with random weights as a MODEL argument names it."""
    module, samples = CASES["convnext_atto"].build()
    return module, samples[0]
