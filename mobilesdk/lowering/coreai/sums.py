"""Add up constants before the converter does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from mobilesdk.core.scheme import WeightRecord
from mobilesdk.graph.rewriting import drop_constant, get_tensor, new_tensor
from mobilesdk.lowering.expectation import summed_record

_add = torch.ops.aten.add.Tensor


def add_up_constants(
    module: GraphModule, records: Sequence[WeightRecord]
) -> tuple[tuple[WeightRecord, ...], dict[str, torch.Tensor]]:
    """Make ``x + (a + b)`` of ``(x + a) + b``, where ``a`` and ``b`` are plain and of one shape.

    Why: Core AI's compiler does so, and the file then holds neither: embeddings of positions and of
    the types of tokens, for example.

    Args:
        module: Its weights are attributes, float32; changed in place.
        records: Of all weights.

    Returns:
        The records, with one for each sum in the place of its parts, and the sums by name.
    """
    kept = {record.name: record for record in records}
    plain = {name: record for name, record in kept.items() if _is_plain(record)}
    sums: dict[str, torch.Tensor] = {}
    for outer in module.graph.find_nodes(op="call_function", target=_add):
        found = _two_constants(outer)
        if found is None:
            continue
        value, *constants = found
        parts = [plain[each.target] for each in constants if each.target in plain]
        if len(parts) < 2 or parts[0].shape != parts[1].shape:
            continue
        record = summed_record(parts, parts[0].planned)
        total = get_tensor(module, constants[0]) + get_tensor(module, constants[1])
        with module.graph.inserting_before(outer):
            made = new_tensor(module, f"{parts[0].name}_sum", total, parameter=False)
        inner = next(each for each in outer.all_input_nodes if each not in constants)
        outer.args = (value, made)
        module.graph.erase_node(inner)
        for constant, part in zip(constants, parts, strict=True):
            drop_constant(module, constant)
            del kept[part.name]
            sums.pop(part.name, None)
        kept[record.name] = plain[str(made.target)] = record
        sums[record.name] = total
    module.recompile()
    return tuple(kept.values()), sums


def _is_plain(record: WeightRecord) -> bool:
    planned = record.planned
    return record.role == "other" and planned.encoding == "float" and not planned.sparsity


def _two_constants(outer: Node) -> tuple[Any, Node, Node] | None:
    """Split ``(x + a) + b`` into its terms, if nothing else takes what goes."""
    split = _constant_term(outer)
    if split is None:
        return None
    inner, second = split
    split = _constant_term(inner) if len(inner.users) == 1 else None
    return None if split is None else (*split, second)


def _constant_term(node: Node) -> tuple[Any, Node] | None:
    if node.target is not _add or node.kwargs:
        return None
    for value, constant in (node.args, node.args[::-1]):
        if (
            isinstance(value, Node)
            and isinstance(constant, Node)
            and constant.op == "get_attr"
            and len(constant.users) == 1
        ):
            return value, constant
    return None
