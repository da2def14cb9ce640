"""Run in a process of its own: small torch models converted by coremltools.

The last argument is a folder. Writes ``<case>.mlpackage`` and ``<case>.npz`` with the inputs
(``in.<name>``) and what torch computes for them (``out.<index>``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from torch import Tensor, nn

torch.manual_seed(0)
TARGETS = {
    "ios15": ct.target.iOS15,
    "ios16": ct.target.iOS16,
    "ios17": ct.target.iOS17,
    "ios18": ct.target.iOS18,
}


class Convolutions(nn.Module):
    """Asymmetric pads, depthwise and transposed convolutions, norms, gates, pools."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.gate = nn.Conv2d(16, 16, 1)
        self.group = nn.GroupNorm(4, 16)
        self.up = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = nn.functional.relu6(self.norm(self.stem(nn.functional.pad(x, (0, 1, 0, 1)))))
        z = nn.functional.hardswish(self.depthwise(y)) + y
        z = z * self.gate(z.mean((2, 3), keepdim=True)).sigmoid()
        z = nn.functional.max_pool2d(self.group(z), 3, 2, 1)
        up = self.up(nn.functional.avg_pool2d(z, 3, 1, 1))
        return self.head(up.amax((2, 3))).softmax(-1), up


class Attention(nn.Module):
    """Embeddings, masks, attention, layer norms, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50, 32)
        self.mix = nn.Linear(32, 96)
        self.out = nn.Linear(32, 32)
        self.first, self.second = nn.LayerNorm(32), nn.LayerNorm(32)
        self.feed = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, ids: Tensor, keep: Tensor) -> Tensor:
        x = self.tokens(ids)
        q, k, v = self.mix(self.first(x)).reshape(1, -1, 3, 4, 8).permute(2, 0, 3, 1, 4)
        bias = (1 - keep)[:, None, None] * -1e4
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(y.transpose(1, 2).reshape(1, -1, 32))
        x = x + self.feed(self.second(x))
        return (x * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)


class Counter(nn.Module):
    """Keeps a running sum."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 4, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x)
        return self.total * 2


def save(folder: Path, name: str, model: Any, inputs: dict[str, np.ndarray], outputs: Any) -> None:
    model.save(str(folder / f"{name}.mlpackage"))
    listed = outputs if isinstance(outputs, tuple) else (outputs,)
    arrays = {f"in.{key}": value for key, value in inputs.items()}
    arrays |= {f"out.{index}": item.detach().numpy() for index, item in enumerate(listed)}
    np.savez(folder / f"{name}.npz", **arrays)


def convert(module: nn.Module, example: dict[str, Tensor], target: Any, **options: Any) -> Any:
    traced = torch.jit.trace(module.eval(), tuple(example.values()))
    types = options.pop("types", None) or [
        ct.TensorType(name, value.shape, dtype=np.int32 if value.dtype == torch.int64 else None)
        for name, value in example.items()
    ]
    return ct.convert(
        traced,
        inputs=types,
        minimum_deployment_target=target,
        skip_model_load=True,
        **options,
    )


def main(folder: Path) -> None:
    image = {"x": torch.randn(1, 3, 32, 32)}
    words = {"ids": torch.randint(0, 50, (1, 12)), "keep": (torch.arange(12) < 9).float()[None]}
    for module, example in ((Convolutions(), image), (Attention(), words)):
        kind = type(module).__name__.lower()
        module.eval()
        outputs = module(*example.values())
        inputs = {name: value.numpy() for name, value in example.items()}
        for version, target in TARGETS.items():
            for bits in ("16", "32"):
                precision = getattr(ct.precision, f"FLOAT{bits}")
                model = convert(module, example, target, compute_precision=precision)
                save(folder, f"{kind}_{version}_float{bits}", model, inputs, outputs)
    length = ct.RangeDim(1, 40, 12)
    types = [
        ct.TensorType("ids", (1, length), dtype=np.int32),
        ct.TensorType("keep", (1, length)),
    ]
    model = convert(
        module, words, ct.target.iOS17, types=types, compute_precision=ct.precision.FLOAT32
    )
    longer = {"ids": torch.randint(0, 50, (1, 31)), "keep": torch.ones(1, 31)}
    inputs = {name: value.numpy() for name, value in longer.items()}
    save(folder, "flexible", model, inputs, module(*longer.values()))

    states = [ct.StateType(ct.TensorType(shape=(1, 4), dtype=np.float16), name="total")]
    example = {"x": torch.ones(1, 4, dtype=torch.float16)}
    traced = torch.jit.trace(Counter().eval(), tuple(example.values()))
    model = ct.convert(
        traced,
        inputs=[ct.TensorType("x", (1, 4), dtype=np.float16)],
        outputs=[ct.TensorType(dtype=np.float16)],
        states=states,
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
    )
    save(folder, "counter", model, {"x": np.ones((1, 4), np.float16)}, torch.full((1, 4), 2.0))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
