"""Find which channels of a program depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node

from mobilesdk.graph.layers import CONVOLUTIONS
from mobilesdk.graph.pruning import rules_layers, rules_shapes
from mobilesdk.graph.pruning.tracing import NoRule, Trace
from mobilesdk.graph.pruning.units import Axes, stays
from mobilesdk.graph.roles import weight_nodes

_aten = torch.ops.aten

_RULES: Mapping[Any, Any] = {
    **rules_shapes.RULES,
    **dict.fromkeys(CONVOLUTIONS, rules_layers.convolution),
    **dict.fromkeys((_aten.linear, _aten.addmm), rules_layers.linear),
    **dict.fromkeys((_aten.mm, _aten.bmm, _aten.matmul), rules_layers.product),
    _aten.scaled_dot_product_attention: rules_layers.attention,
    _aten.embedding: rules_layers.embedding,
}


def trace_dependencies(program: torch.export.ExportedProgram) -> Trace:
    """Label every axis of every value with the units that its indices belong to.

    Every index of every axis of a weight starts as a unit of its own. Each op unites the units of
    what it takes and passes them on. What meets an op without a rule, an input or an output stays,
    with the reason.

    Args:
        program: Prepared: flat, static, functional.
    """
    trace = Trace()
    tensors = {**program.state_dict, **program.constants}
    for name, node in weight_nodes(program).items():
        trace.names[node] = name
        trace.constants[name] = tuple(trace.units.fresh(size) for size in tensors[name].shape)
        trace.values[node] = trace.constants[name]
    for node in program.graph.nodes:
        if node.op == "output":
            _keep(trace, node, "it is an output of the model")
        elif node not in trace.values:
            trace.values[node] = _labels(trace, node)
    return trace


def _labels(trace: Trace, node: Node) -> Axes | tuple[Axes, ...]:
    staying: Axes | tuple[Axes, ...] = _stay(node.meta["val"])
    if node.op == "placeholder":
        return staying
    target: Any = node.target
    rule = _RULES.get(getattr(target, "overloadpacket", target))
    if rule is None and torch.Tag.pointwise in getattr(target, "tags", ()):
        rule = rules_shapes.pointwise
    try:
        if rule is None:
            raise NoRule("there is no rule for it")
        found: Axes | tuple[Axes, ...] = rule(trace, node)
    except NoRule as reason:
        _keep(trace, node, f"it meets {node.name} ({target}): {reason}")
        return staying
    return found


def _keep(trace: Trace, node: Node, reason: str) -> None:
    """Let all that a node takes stay."""
    for source in node.all_input_nodes:
        found: Any = trace.values[source]
        parts = found if found and isinstance(found[0], tuple) else (found,)
        for axes in parts:
            for labels in axes:
                trace.units.keep(labels, reason)


def _stay(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_stay(part) for part in value)
    shape = value.shape if isinstance(value, torch.Tensor) else ()
    return tuple(stays(int(size)) for size in shape)
