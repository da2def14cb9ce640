"""Read and change the constants of a graph module."""

from __future__ import annotations

import torch
from torch import Tensor


def get_tensor(module: torch.fx.GraphModule, node: torch.fx.Node) -> Tensor:
    """Give the tensor that a ``get_attr`` node stands for."""
    owner, leaf = _split(module, str(node.target))
    tensor = getattr(owner, leaf)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{node.target} is not a tensor")
    return tensor


def set_tensor(module: torch.fx.GraphModule, node: torch.fx.Node, value: Tensor) -> None:
    """Replace the tensor that a ``get_attr`` node stands for; its kind stays."""
    owner, leaf = _split(module, str(node.target))
    _assign(owner, leaf, value, parameter=leaf in owner._parameters)
    node.meta["val"] = value


def new_tensor(
    module: torch.fx.GraphModule, name: str, value: Tensor, *, parameter: bool
) -> torch.fx.Node:
    """Add a constant at the graph's insertion point.

    Args:
        module: The module that is to hold it.
        name: The name that it gets, or that name with a number if it is taken.
        value: The constant.
        parameter: Whether it is a parameter or a buffer.

    Returns:
        Its ``get_attr`` node.
    """
    name = _free_name(module, name)
    parent, _, leaf = name.rpartition(".")
    owner: torch.nn.Module = module
    for part in filter(None, parent.split(".")):
        if not hasattr(owner, part):
            owner.add_module(part, torch.nn.Module())
        owner = getattr(owner, part)
    _assign(owner, leaf, value.detach(), parameter=parameter)
    node = module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def _assign(owner: torch.nn.Module, leaf: str, value: Tensor, *, parameter: bool) -> None:
    if hasattr(owner, leaf):
        delattr(owner, leaf)
    if parameter:
        owner.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=False))
    else:
        owner.register_buffer(leaf, value)


def _split(module: torch.nn.Module, name: str) -> tuple[torch.nn.Module, str]:
    parent, _, leaf = name.rpartition(".")
    return module.get_submodule(parent), leaf


def _free_name(module: torch.nn.Module, name: str) -> str:
    taken = {
        *(name for name, _ in module.named_parameters(remove_duplicate=False)),
        *(name for name, _ in module.named_buffers(remove_duplicate=False)),
        *(name for name, _ in module.named_modules(remove_duplicate=False)),
    }
    candidate, number = name, 1
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
