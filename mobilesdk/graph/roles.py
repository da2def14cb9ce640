"""Tell what every weight of a program is for, from the ops that take it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch

from mobilesdk.core.model import ModelWeight
from mobilesdk.core.scheme import WeightRole

_aten = torch.ops.aten

# Ops that pass a weight on with the same elements in another shape or order.
VIEWS = frozenset(
    {
        _aten.permute.default,
        _aten.transpose.int,
        _aten.t.default,
        _aten.numpy_T.default,
        _aten.view.default,
        _aten.reshape.default,
        _aten.unsqueeze.default,
        _aten.squeeze.dim,
        _aten.squeeze.dims,
        _aten.alias.default,
        _aten.detach.default,
        _aten.clone.default,
        _aten.contiguous.default,
        _aten.lift_fresh_copy.default,
    }
)
# Op → (position of its weight, role).
_WEIGHT_ARGUMENTS: dict[Any, tuple[int, WeightRole]] = {
    _aten.conv1d.default: (1, "conv"),
    _aten.conv2d.default: (1, "conv"),
    _aten.conv3d.default: (1, "conv"),
    _aten.conv1d.padding: (1, "conv"),
    _aten.conv2d.padding: (1, "conv"),
    _aten.conv3d.padding: (1, "conv"),
    _aten.convolution.default: (1, "conv"),
    _aten.conv_transpose1d.default: (1, "conv_transpose"),
    _aten.conv_transpose2d.input: (1, "conv_transpose"),
    _aten.conv_transpose3d.input: (1, "conv_transpose"),
    _aten.linear.default: (1, "linear"),
    _aten.mm.default: (1, "linear"),
    _aten.matmul.default: (1, "linear"),
    _aten.addmm.default: (2, "linear"),
    _aten.embedding.default: (0, "embedding"),
    _aten.embedding_bag.default: (0, "embedding"),
}
_CONVOLUTION_TRANSPOSED = 6
_CONVOLUTION_GROUPS = 8
_GROUPS = 6  # of all other convolutions, transposed ones too


def weights(program: torch.export.ExportedProgram) -> tuple[ModelWeight, ...]:
    """List the floating-point weights of at least two axes, in the order of the program.

    A weight that several ops take (tied weights) has the role of the first one that is known, in
    the order of execution; a parameter that only other ops take (added, multiplied) has the role
    ``other``. A buffer or constant is a weight only if an op takes it as one. What nothing takes is
    left out.
    """
    parameters = set(program.graph_signature.inputs_to_parameters.values())
    tensors = {**program.state_dict, **program.constants}
    found = []
    for name, node in weight_nodes(program).items():
        tensor = tensors[name]
        if tensor.dim() < 2 or not tensor.is_floating_point() or not node.users:
            continue
        role = _role(node)
        if role != "other" or name in parameters:
            groups = max((_groups(user) for user, _ in _uses(node)), default=1)
            shape = tuple(tensor.shape)
            found.append(ModelWeight(name=name, role=role, shape=shape, groups=groups))
    return tuple(found)


def weight_nodes(program: torch.export.ExportedProgram) -> dict[str, torch.fx.Node]:
    """Map the fully qualified name of every parameter, buffer and constant to its placeholder."""
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    return {target: nodes[placeholder] for placeholder, target in names.items()}


def is_taken_as_weight(user: torch.fx.Node, source: torch.fx.Node) -> bool:
    """Tell whether an op takes a value as the weight of a layer."""
    return _role_in(user, source) != "other"


def _role(weight: torch.fx.Node) -> WeightRole:
    order = {node: place for place, node in enumerate(weight.graph.nodes)}
    uses = sorted(_uses(weight), key=lambda use: order[use[0]])
    roles = (_role_in(user, source) for user, source in uses)
    return next((role for role in roles if role != "other"), "other")


def _uses(node: torch.fx.Node) -> Iterator[tuple[torch.fx.Node, torch.fx.Node]]:
    """Give each op that takes the values of a node, with the argument that it takes."""
    for user in node.users:
        if user.target in VIEWS:
            yield from _uses(user)
        else:
            yield user, node


def _role_in(user: torch.fx.Node, source: torch.fx.Node) -> WeightRole:
    place, role = _WEIGHT_ARGUMENTS.get(user.target, (0, "other"))
    if role == "other" or user.args[place] is not source:
        return "other"
    if role != "conv":
        return role
    if user.target is _aten.convolution.default and user.args[_CONVOLUTION_TRANSPOSED]:
        return "conv_transpose"
    return "depthwise" if _is_depthwise(user, source) else "conv"


def _groups(user: torch.fx.Node) -> int:
    """Give the groups of a convolution, and 1 for any other op."""
    if _WEIGHT_ARGUMENTS.get(user.target, (0, "other"))[1] not in ("conv", "conv_transpose"):
        return 1
    general = user.target is _aten.convolution.default
    place = _CONVOLUTION_GROUPS if general else _GROUPS
    return cast("int", user.args[place]) if len(user.args) > place else 1


def _is_depthwise(user: torch.fx.Node, weight: torch.fx.Node) -> bool:
    """Tell whether each output channel sees one input channel, and there is more than one."""
    data = cast("torch.fx.Node", user.args[0])
    return bool(data.meta["val"].shape[1] > 1 and weight.meta["val"].shape[1] == 1)
