"""Tensors of a module by their fully qualified names."""

from __future__ import annotations

import torch
from torch.fx import GraphModule


def attribute(module: GraphModule, name: str) -> torch.Tensor:
    """Give a parameter, a buffer, or a constant."""
    owner, _, last = name.rpartition(".")
    tensor: torch.Tensor = getattr(module.get_submodule(owner), last)
    return tensor


def set_attribute(module: GraphModule, name: str, tensor: torch.Tensor) -> None:
    """Put a buffer in the place of a parameter, a buffer, or a constant."""
    owner, _, last = name.rpartition(".")
    holder = module.get_submodule(owner)
    delattr(holder, last)
    holder.register_buffer(last, tensor)
