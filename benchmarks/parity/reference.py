"""What torch computes, and how exact that is: in float64, and with results rounded to float16."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from benchmarks.parity.cases import Case, Samples
from benchmarks.parity.distance import Distance, distance

Outputs = list[list[NDArray[Any]]]
"""``outputs[sample][output]``."""


class RoundingMode(TorchDispatchMode):
    """Round what every operation gives to float16 and back, as a float16 package stores it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return tree_map(rounded, func(*args, **(kwargs or {})))


def rounded(value: Any) -> Any:
    """Round a float32 tensor to float16 and back; give anything else as it is."""
    if isinstance(value, Tensor) and value.dtype == torch.float32:
        return value.half().float()
    return value


def run(call: Callable[..., Any], samples: Samples) -> Outputs:
    """Run all samples in turn."""
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        results = [call(*sample) for sample in samples]
    return [
        [item.numpy() for item in torch.utils._pytree.tree_leaves(result)] for result in results
    ]


def in_float64(module: nn.Module, samples: Samples) -> Outputs:
    """Run a copy in float64; buffers that are float16 on purpose stay so."""
    kept = {name: item for name, item in module.named_buffers() if item.dtype == torch.float16}
    double = copy.deepcopy(module).double()
    for name, buffer in kept.items():
        owner, _, attribute = name.rpartition(".")
        setattr(double.get_submodule(owner), attribute, buffer.clone())
    return run(double, [tuple(_cast(item, torch.float64) for item in each) for each in samples])


def in_float16(module: nn.Module, samples: Samples) -> Outputs:
    """Run a copy with float16 weights whose results are rounded to float16 one by one."""
    half = copy.deepcopy(module)
    for tensor in (*half.parameters(), *half.buffers()):
        tensor.data = rounded(tensor.data)

    def call(*sample: Tensor) -> Any:
        with RoundingMode():
            return half(*(rounded(item) for item in sample))

    return run(call, samples)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def write(case: Case, folder: Path) -> dict[str, Any]:
    """Write ``samples.npz`` and ``expected.npz``; give the floors of the network."""
    module, samples = case.build()
    folder.mkdir(parents=True, exist_ok=True)
    expected = run(copy.deepcopy(module), samples)
    save_samples(folder / "samples.npz", [[item.numpy() for item in each] for each in samples])
    save_samples(folder / "expected.npz", expected)
    floors: dict[str, Distance] = {
        "float32_floor": distance(in_float64(module, samples), expected),
        "float16_floor": distance(expected, in_float16(module, samples)),
    }
    return floors | {"parameters": sum(item.numel() for item in module.parameters())}


def save_samples(path: Path, values: Outputs) -> None:
    """Store arrays by sample and place."""
    np.savez(
        path, **{f"{i}.{j}": item for i, row in enumerate(values) for j, item in enumerate(row)}
    )


def load_samples(path: Path) -> Outputs:
    """Read what `save_samples` stored."""
    with np.load(path) as stored:
        rows: dict[int, list[NDArray[Any]]] = {}
        for name in stored:  # in the order of writing
            rows.setdefault(int(name.partition(".")[0]), []).append(stored[name])
    return list(rows.values())
