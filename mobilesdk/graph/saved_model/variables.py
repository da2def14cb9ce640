"""Find where the weights of a SavedModel lie, and read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.saved_model.folder import variables_prefix
from mobilesdk.graph.saved_model.graph import CALLS
from mobilesdk.graph.saved_model.node import Node

_ASSIGNMENTS = frozenset({"AssignVariableOp"})
_LARGEST_ITEM_BYTES = 16


def read_variables(folder: Path, graph: Any, nodes: Sequence[Node]) -> dict[str, NDArray[Any]]:
    """Read the values of variables.

    TensorFlow's reader of checkpoints is given the files; the graph that restores them is looked
    at, for the keys, and not run.

    Args:
        folder: Of the SavedModel.
        graph: Its whole ``GraphDef``.
        nodes: The variables.

    Raises:
        InvalidModel: One is missing, of another shape or dtype, or the files are damaged.
    """
    if not nodes:
        return {}
    from tensorflow import errors
    from tensorflow.train import load_checkpoint

    keys = dict(_restored(graph))
    try:
        reader = load_checkpoint(str(variables_prefix(folder)))
        shapes = reader.get_variable_to_shape_map()
        _check_size(folder, shapes)
        found = {}
        for node in nodes:
            key = keys.get(node.name, node.name)
            if key not in shapes:
                raise InvalidModel(
                    f"The SavedModel holds no values for the variable {node.name!r}.",
                    hint="write it again: its files do not belong together.",
                )
            found[node.name] = _checked(node, np.array(reader.get_tensor(key)))
    except (errors.OpError, ValueError, RuntimeError) as error:
        raise InvalidModel(
            f"The weights in {folder.name} cannot be read: {error}",
            hint="write the SavedModel again: its folder 'variables' is damaged.",
        ) from error
    return found


def _check_size(folder: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse shapes that the files cannot hold."""
    prefix = variables_prefix(folder)
    size_bytes = sum(path.stat().st_size for path in prefix.parent.glob(f"{prefix.name}.data-*"))
    for key, shape in shapes.items():
        if prod(shape) > 8 * size_bytes:
            raise InvalidModel(
                f"The weights in {folder.name} cannot be read: {key!r} has the shape "
                f"{list(shape)}, and all of them have {size_bytes} bytes.",
                hint="write the SavedModel again: its folder 'variables' is damaged.",
            )


def _checked(node: Node, value: NDArray[Any]) -> NDArray[Any]:
    if value.dtype.name != node["dtype"] or node["shape"] not in (None, value.shape):
        raise InvalidModel(
            f"The variable {node.name!r} is {node['dtype']} {node['shape']}, and its values are "
            f"{value.dtype.name} {value.shape}.",
            hint="write the SavedModel again: its files do not belong together.",
        )
    return value


def _restored(graph: Any) -> Iterator[tuple[str, str]]:
    """Give each variable that the graph restores, with the key of its values."""
    nodes = {node.name: node for node in graph.node}
    yield from _assigned(nodes, {name: name for name in nodes})
    functions = {function.signature.name: function for function in graph.library.function}
    for call in graph.node:
        function = functions.get(call.attr["f"].func.name) if call.op in CALLS else None
        if function is not None:
            arguments = (argument.name for argument in function.signature.input_arg)
            given = (name for name in call.input if not name.startswith("^"))
            inner = {node.name: node for node in function.node_def}
            yield from _assigned(inner, dict(zip(arguments, given, strict=False)))


def _assigned(nodes: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Follow what is assigned back to its place in a checkpoint.

    Args:
        nodes: Of the graph or a function, by name.
        variables: Name there → name of the variable in the graph.
    """
    for node in nodes.values():
        if node.op in _ASSIGNMENTS and len(node.input) >= 2:
            variable, value = node.input[0].partition(":")[0], node.input[1]
            key = _key(nodes, value)
            if key is not None and variable in variables:
                yield variables[variable].partition(":")[0], key


def _key(nodes: Mapping[str, Any], value: str) -> str | None:
    """Give the key of a value that is restored; ``None`` if it is another value."""
    seen: set[str] = set()
    while True:
        name, *parts = value.split(":")
        node = nodes.get(name)
        if node is None or name in seen:
            return None
        seen.add(name)
        if node.op == "Identity" and node.input:
            value = node.input[0]
            continue
        if node.op != "RestoreV2" or len(node.input) < 2:
            return None
        keys = nodes.get(node.input[1].partition(":")[0])
        place = int(parts[-1]) if parts else 0
        texts = [] if keys is None else keys.attr["value"].tensor.string_val
        return texts[place].decode("utf-8", "replace") if place < len(texts) else None
