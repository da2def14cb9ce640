"""Apple's Core AI: a network as ``.aimodel``, run by Apple's own runtime for Linux.

coreai-torch and coreai are imported inside functions; they stay out of processes that import
coremltools.
"""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.parity.reference import Outputs


def write(program: torch.export.ExportedProgram, path: Path) -> Any:
    """Convert an exported program; give the asset."""
    import coreai_torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter, about the build of torch
        decomposed = program.run_decompositions(coreai_torch.get_decomp_table())
        _drop_restrides(decomposed)
        converted = coreai_torch.TorchConverter().add_exported_program(decomposed).to_coreai()
    return converted.save_asset(path)


def _drop_restrides(program: torch.export.ExportedProgram) -> None:
    """Remove ``as_strided`` that only states the strides of axes of size 1 anew.

    torch decomposes the global average pool of a channels-last tensor into one, and the converter
    has no lowering for it.
    """
    graph = program.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.as_strided.default):
        source = node.args[0]
        before, after = source.meta["val"], node.meta["val"]
        if before.shape == after.shape and _strides(before) == _strides(after):
            node.replace_all_uses_with(source)
            graph.erase_node(node)
    program.graph_module.recompile()


def _strides(tensor: torch.Tensor) -> list[int]:
    """Give the strides of the axes that have more than one element."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return [stride for size, stride in pairs if size > 1]


def predict(asset: Any, samples: Outputs) -> Outputs:
    """Run samples in turn; states last from one to the next."""
    return asyncio.run(_predict(asset, samples))


async def _predict(asset: Any, samples: Outputs) -> Outputs:
    from coreai.runtime import NDArray

    async with asset.executable() as model:
        function = model.load_function("main")
        interface = function.desc
        states = {
            name: NDArray(_zeros(interface.state_descriptor(name)))
            for name in interface.state_names
        }
        found = []
        for sample in samples:
            given = {
                name: NDArray(_narrowed(item))
                for name, item in zip(interface.input_names, sample, strict=True)
            }
            results = await function(given, states)
            found.append([np.array(results[name].numpy()) for name in interface.output_names])
        return found


def _zeros(descriptor: Any) -> Any:
    return np.zeros(descriptor.shape, descriptor.dtype)


def _narrowed(array: Any) -> Any:
    """Give 64-bit integers as 32-bit ones, which Core AI makes of them."""
    return array.astype(np.int32) if array.dtype == np.int64 else array
