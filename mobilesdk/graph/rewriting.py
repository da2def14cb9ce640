"""Read and change the constants of a graph module."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mobilesdk.graph.roles import VIEWS


def get_tensor(module: torch.fx.GraphModule, node: torch.fx.Node) -> Tensor:
    """Give the tensor that a ``get_attr`` node stands for."""
    owner, leaf = _split(module, str(node.target))
    tensor = getattr(owner, leaf)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{node.target} is not a tensor")
    return tensor


def is_constant(value: object) -> bool:
    """Tell whether a node is a constant or a plain view of one."""
    while isinstance(value, torch.fx.Node) and value.target in VIEWS:
        value = value.args[0]
    return isinstance(value, torch.fx.Node) and value.op == "get_attr"


def constant_value(module: torch.fx.GraphModule, node: torch.fx.Node) -> Tensor:
    """Compute a constant, or a plain view of one."""
    if node.op == "get_attr":
        return get_tensor(module, node)
    source = constant_value(module, node.all_input_nodes[0])
    value = node.target(source, *node.args[1:], **node.kwargs)
    return cast("Tensor", value)


def set_tensor(module: torch.fx.GraphModule, node: torch.fx.Node, value: Tensor) -> None:
    """Replace the tensor that a ``get_attr`` node stands for; its kind stays."""
    owner, leaf = _split(module, str(node.target))
    _assign(owner, leaf, value, parameter=leaf in owner._parameters)
    node.meta["val"] = value


def drop_constant(module: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    """Take a constant that nothing takes any more out of a graph, with its views and its tensor."""
    while not node.users:
        sources = node.all_input_nodes
        module.graph.erase_node(node)
        if not sources:
            if all(other.target != node.target for other in module.graph.find_nodes(op="get_attr")):
                owner, leaf = _split(module, str(node.target))
                delattr(owner, leaf)
            return
        node = sources[0]


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
    add_tensor(module, name, value.detach(), parameter=parameter)
    node = module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def add_tensor(module: torch.nn.Module, name: str, value: Tensor, *, parameter: bool) -> None:
    """Give a module a parameter or buffer under a dotted name; parts are made as needed."""
    parent, _, leaf = name.rpartition(".")
    owner = module
    for part in filter(None, parent.split(".")):
        if not hasattr(owner, part):
            owner.add_module(part, torch.nn.Module())
        owner = getattr(owner, part)
    _assign(owner, leaf, value, parameter=parameter)


def named_tensor(module: torch.nn.Module, name: str) -> Tensor:
    """Give the parameter or buffer that a dotted name stands for."""
    owner, leaf = _split(module, name)
    return cast("Tensor", getattr(owner, leaf))


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
