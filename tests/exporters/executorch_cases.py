"""Export tiny models for ExecuTorch in a process of its own, and run what was written.

``python -m tests.exporters.executorch_cases FOLDER [CASE]...``
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk.exporters.executorch import PLUGIN as EXPORTER
from mobilesdk.runtimes.executorch import PLUGIN as RUNTIME
from tests.exporters.cases import (
    ALL_INT8,
    DYNAMIC,
    IMAGE,
    INT4,
    INT4_BLOCKS,
    INT8,
    INT8_TENSOR,
    PERCENTILE,
    STATIC,
    Arrays,
    Case,
    Flat,
    PreActivation,
    Shapes,
    export,
    export_all,
    ids,
    write_run,
)


class Convolutions(nn.Module):
    """What MobileNets are made of: ReLU6 behind convolutions, uneven pads, a sum, an average."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(nn.functional.pad(image, (0, 1, 0, 1))))
        y = self.project(nn.functional.relu6(self.depthwise(x)))
        return self.head(nn.functional.relu6(x + y).mean((2, 3)))


class Clamped(nn.Module):
    """A channel of which ReLU6 cuts most of the range off, as in trained networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.stem.weight.data[0] *= 100
        self.project = nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.project(nn.functional.hardtanh(self.stem(image), 0.0, 6.0))  # as nn.ReLU6


class Joined(nn.Module):
    """Everything else with an int8 kernel, and ops without one in between."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.gain = nn.Parameter(torch.linspace(0.5, 2.0, 4).reshape(1, 4, 1, 1))
        self.mix = nn.Linear(16, 16, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.cat([torch.relu(self.left(image)), self.right(image)], 1)
        x = self.up(nn.functional.max_pool2d(x, 2, 2)) * self.gain * 0.5
        x = torch.sigmoid(x) - x[:, :, :, :16].permute(0, 1, 3, 2)
        return self.mix(x).softmax(-1)


class Repeated(nn.Module):
    """One convolution, run on values of very different ranges, and a bias that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.other = nn.Conv2d(8, 8, 1)
        self.other.bias = self.again.bias
        self.again.bias.data.mul_(20)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for _ in range(3):
            x = torch.relu(self.again(x))
        return self.other(x)


class Dead(nn.Module):
    """Channels whose weights are all but zero, beside large biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.conv.weight.data[1] *= 1e-9
        self.conv.weight.data[2] = 0.0
        self.conv.bias.data[:] = torch.tensor([0.1, 5.0, -4.0, 0.3])

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class Text(nn.Module):
    """Ids, an embedding, attention, and two results."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 64)
        self.query = nn.Linear(64, 64)
        self.key = nn.Linear(64, 64)
        self.dense = nn.Linear(64, 32)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids)
        query, key = (f(x).view(1, 6, 4, 16).transpose(1, 2) for f in (self.query, self.key))
        scores = (query @ key.transpose(2, 3) + mask[:, None, None, :]).softmax(-1)
        return self.dense(x).mean(1), scores


class Images(nn.Module):
    """An ordinary convolution and a matrix product, rounded at run time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(image)).mean((2, 3)))


class Gated(nn.Module):
    """Squeeze and excite, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.conv(image))
        return x * nn.functional.hardsigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Vector(nn.Module):
    """A table and places added to it, and a division by a norm, which stays float."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 32)
        self.places = nn.Parameter(torch.randn(1, 6, 32))
        self.dense = nn.Linear(32, 16)

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.normalize(self.dense(self.words(ids) + self.places).mean(1))


class Spectrum(nn.Module):
    """Complex numbers, which ExecuTorch has not."""

    def forward(self, wave: Tensor) -> Tensor:
        return torch.fft.rfft(wave).abs()


class Volume(nn.Module):
    """A 3-D convolution, for which no int8 kernel exists."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3)

    def forward(self, volume: Tensor) -> Tensor:
        return self.conv(volume)


def masked_ids(generator: np.random.Generator, shapes: Shapes) -> Arrays:
    """Draw ids, of which a mask hides the last two."""
    mask = np.where(np.arange(6) < 4, 0, -1e4).astype(np.float32)
    return {**ids(generator, shapes), "mask": mask[None]}


TEXT = ((1, 6), (1, 6))
CASES = {
    "float": Case(Convolutions, IMAGE),
    "portable": Case(Convolutions, IMAGE, options={"backend": "portable"}),
    "coreml": Case(Convolutions, IMAGE, options={"backend": "coreml"}),
    "coreml32": Case(
        Convolutions, IMAGE, options={"backend": "coreml", "compute_precision": "float32"}
    ),
    "static": Case(Convolutions, IMAGE, ALL_INT8, STATIC),
    "clamped": Case(Clamped, IMAGE, ALL_INT8, STATIC),
    "percentile": Case(Convolutions, IMAGE, ALL_INT8, PERCENTILE),
    "per_tensor": Case(Convolutions, IMAGE, dict.fromkeys(ALL_INT8, INT8_TENSOR), STATIC),
    "joined": Case(Joined, IMAGE, ALL_INT8, STATIC),
    "repeated": Case(Repeated, IMAGE, ALL_INT8, STATIC),
    "pre_activation": Case(PreActivation, IMAGE, ALL_INT8, STATIC),
    "dead": Case(Dead, IMAGE, ALL_INT8, STATIC),
    "dynamic": Case(Images, IMAGE, ALL_INT8, DYNAMIC),
    "text": Case(Text, TEXT, draw=masked_ids),
    "text8": Case(Text, TEXT, ALL_INT8, DYNAMIC, draw=masked_ids),
    "text4": Case(Text, TEXT, {"linear": INT4_BLOCKS, "embedding": INT8}, DYNAMIC, draw=masked_ids),
    "text4_channel": Case(Text, TEXT, {"linear": INT4}, DYNAMIC, draw=masked_ids),
    "gated": Case(Gated, IMAGE, ALL_INT8, STATIC),
    "vector": Case(Vector, ((1, 6),), ALL_INT8, STATIC, draw=ids),
    "spectrum": Case(Spectrum, ((1, 16),)),
    "volume": Case(Volume, ((1, 1, 4, 4, 4),), ALL_INT8, STATIC),
    "uncalibrated": Case(Convolutions, IMAGE, ALL_INT8, STATIC, calibrated=False),
}


def export_by_vendor(output: Path) -> None:
    """Quantize as the vendor's quantizer does by default, with plain minima and maxima."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as vendor
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    case = CASES["clamped"]
    module = Flat(case.make())
    samples = [torch.from_numpy(sample["x0"]) for sample in case.samples()]
    config = vendor.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = vendor.XNNPACKQuantizer().set_global(config)
    observed = prepare_pt2e(torch.export.export(module, (samples[0],)).module(), quantizer)
    for sample in samples:
        observed(sample)
    program = torch.export.export(convert_pt2e(observed), (samples[0],))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (output / "model.pte").write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(output / "model.pte").load_method("forward")
    with torch.no_grad():
        wanted = module(samples[0])[0].numpy()
    write_run(output, 0, [wanted], {"y0": method.execute([samples[0]])[0].numpy()})


if __name__ == "__main__":
    exports = {name: partial(export, case, EXPORTER, RUNTIME) for name, case in CASES.items()}
    export_all(exports | {"vendor": export_by_vendor}, Path(sys.argv[1]), sys.argv[2:])
