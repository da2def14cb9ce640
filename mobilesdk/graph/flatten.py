"""Make a module with any signature take and give flat tensors, and name them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.program import export_program, graph_module

_WRAPPED = "module"


@dataclass(frozen=True)
class Leaves:
    """The tensors of a nested structure, in order, with a name for each.

    Attributes:
        tensors: The leaf tensors.
        names: ``boxes_0`` for the first item of ``boxes``; ``output_0`` where nothing has a name.
        spec: What puts the structure together again.
    """

    tensors: tuple[torch.Tensor, ...]
    names: tuple[str, ...]
    spec: pytree.TreeSpec

    def renamed(self, names: Iterable[str]) -> Leaves:
        """Give the same leaves under other names."""
        return replace(self, names=tuple(names))

    def holding(self, tensors: Iterable[torch.Tensor]) -> Leaves:
        """Give the same structure with other tensors."""
        return replace(self, tensors=tuple(tensors))


def input_leaves(module: torch.nn.Module, example_inputs: Iterable[Any]) -> Leaves:
    """Take the example inputs apart; names come from the parameters of ``forward``.

    Args:
        module: The model.
        example_inputs: Positional arguments of ``forward``.

    Raises:
        InvalidModel: They do not fit ``forward``, or a leaf is not a tensor.
    """
    arguments = tuple(example_inputs)
    try:
        bound = inspect.signature(module.forward).bind(*arguments)
    except TypeError as error:
        raise InvalidModel(
            f"The example inputs do not fit forward{inspect.signature(module.forward)}: {error}.",
            hint="give one example for each argument of forward, as a tuple.",
        ) from error
    names = _leaf_names(dict(bound.arguments), "input")
    tensors, spec = pytree.tree_flatten(arguments)
    for name, leaf in zip(names, tensors, strict=True):
        if not isinstance(leaf, torch.Tensor):
            raise InvalidModel(
                f"The example input {name!r} is a {type(leaf).__name__}, not a tensor.",
                hint="pass tensors only; fix other arguments in a wrapper module.",
            )
        _check_leaf(f"The example input {name!r}", leaf)
    return Leaves(tuple(tensors), names, spec)


def output_leaves(outputs: Any) -> Leaves:
    """Take what ``forward`` gave apart; names come from the keys of dicts. ``None`` is left out.

    Raises:
        InvalidModel: A leaf is not a tensor, or there is none.
    """
    leaves, spec = pytree.tree_flatten(outputs)
    names = _leaf_names(outputs, "output")
    kept = [(name, leaf) for name, leaf in zip(names, leaves, strict=True) if leaf is not None]
    for name, leaf in kept:
        if not isinstance(leaf, torch.Tensor):
            raise InvalidModel(
                f"The output {name!r} is a {type(leaf).__name__}, not a tensor.",
                hint="return tensors, or tuples, lists and dicts of tensors, from forward.",
            )
        _check_leaf(f"The output {name!r}", leaf)
    if not kept:
        raise InvalidModel("The module gives no tensor.", hint="return tensors from forward.")
    return Leaves(tuple(leaf for _, leaf in kept), tuple(name for name, _ in kept), spec)


def check_tensor(what: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor that is not plain numbers in the main memory.

    Raises:
        InvalidModel: It is sparse or quantized, or lies elsewhere.
    """
    if tensor.is_quantized:
        raise InvalidModel(
            f"{what} is quantized already.",
            hint="return the float32 model; a profile quantizes it.",
        )
    if tensor.layout is not torch.strided:
        raise InvalidModel(
            f"{what} is a sparse tensor ({tensor.layout}).",
            hint="give it dense (to_dense()); a profile makes the weights of an artifact sparse.",
        )
    if tensor.device.type == "meta":
        raise InvalidModel(
            f"{what} lies on meta: it has a shape and no values.",
            hint="make the module on the CPU, and load its weights.",
        )
    if tensor.device.type != "cpu":
        raise InvalidModel(
            f"{what} lies on {tensor.device}.",
            hint="return module.cpu(), and example inputs on the CPU.",
        )


def _check_leaf(what: str, leaf: torch.Tensor) -> None:
    check_tensor(what, leaf)
    if not leaf.numel():
        raise InvalidModel(
            f"{what} has the shape {list(leaf.shape)}: it holds no values.",
            hint="give every axis a length of at least 1; runtimes have no empty tensors.",
        )


def export_flat(
    module: torch.nn.Module, inputs: Leaves, dynamic_shapes: Sequence[Mapping[int, Any]] = ()
) -> torch.export.ExportedProgram:
    """Export a module as a flat program that keeps the names of its weights and inputs."""
    program = export_program(_Flat(module, inputs.spec), inputs.tensors, dynamic_shapes)
    flat = graph_module(program)
    for node, name in zip(flat.graph.find_nodes(op="placeholder"), inputs.names, strict=True):
        node.target = name
    return export_program(_without_prefix(flat), inputs.tensors, dynamic_shapes)


class _Flat(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
    """Calls a module with leaves put together, and takes apart what it gives."""

    def __init__(self, module: torch.nn.Module, spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.add_module(_WRAPPED, module)
        self._spec = spec
        self.train(False)

    def forward(self, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.get_submodule(_WRAPPED)(*pytree.tree_unflatten(leaves, self._spec))
        return tuple(leaf for leaf in pytree.tree_leaves(outputs) if leaf is not None)


def _without_prefix(wrapped: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Take the wrapper's name away from the names of the weights."""
    attributes: dict[str, Any] = {}
    for node in wrapped.graph.find_nodes(op="get_attr"):
        value = _attribute(wrapped, node.target)
        node.target = node.target.removeprefix(f"{_WRAPPED}.")
        attributes[node.target] = value
    return torch.fx.GraphModule(attributes, wrapped.graph)


def _attribute(module: torch.nn.Module, name: str) -> Any:
    parent, _, leaf = name.rpartition(".")
    return getattr(module.get_submodule(parent), leaf)


def _leaf_names(tree: Any, fallback: str) -> tuple[str, ...]:
    """Name each leaf by its path; a path without any key is given the fallback as its start."""
    paths = [path for path, _ in pytree.tree_flatten_with_path(tree)[0]]
    named = isinstance(tree, Mapping)
    names = [_name(path if named else (pytree.MappingKey(fallback), *path)) for path in paths]
    if names == [fallback]:
        names = [f"{fallback}_0"]
    return tuple(names)


def _name(path: tuple[Any, ...]) -> str:
    """Join the keys of a path to an identifier."""
    parts = (
        str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path
    )
    name = re.sub(r"\W", "_", "_".join(parts), flags=re.ASCII)
    return name if name.isidentifier() else f"_{name}"
