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
from mobilesdk.lowering.coreai.convert import drop_restrides, import_coreai_torch


def write(program: torch.export.ExportedProgram, path: Path) -> Any:
    """Convert an exported program; give the asset."""
    coreai_torch = import_coreai_torch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter, about the build of torch
        decomposed = program.run_decompositions(coreai_torch.get_decomp_table())
        drop_restrides(decomposed)
        converted = coreai_torch.TorchConverter().add_exported_program(decomposed).to_coreai()
    return converted.save_asset(path)


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
