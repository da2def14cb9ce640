"""Have Core AI's operations make the compressed weights of a module.

Integers, scales, tables and masks become buffers. The operations on them are those that
coreai-torch converts to constants of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Node

from mobilesdk.core.scheme import WeightRecord
from mobilesdk.coreml.encode import ConstExpr, Layout, Stored, encode
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.lowering.coreai.attributes import attribute

_INTEGERS = {
    ("i", 8): torch.int8,
    ("i", 4): torch.int4,
    ("i", 2): torch.int2,
    ("u", 8): torch.uint8,
    ("u", 4): torch.uint4,
    ("u", 2): torch.uint2,
}


def compress_weights(
    module: GraphModule, records: Sequence[WeightRecord], *, in_half: bool
) -> None:
    """Replace every weight that is to be stored compressed.

    Args:
        module: Its weights are attributes, float32, on the grids of their schemes; changed in
            place.
        records: Of all weights.
        in_half: Whether the module computes in float16, and scales and tables are stored so.

    Raises:
        CompressionIncomplete: A weight is not in the module, or does not lie on its grid.
    """
    import_module("coreai_torch._compression.custom_layers")  # defines the operations
    for place, record in enumerate(records):
        if record.planned.encoding == "float" and not record.planned.sparsity:
            continue
        nodes = [n for n in module.graph.find_nodes(op="get_attr") if n.target == record.name]
        if not nodes:
            raise CompressionIncomplete(
                f"{record.name} is to be {record.planned}, but nothing takes it."
            )
        if record.role == "other":
            raise CompressionIncomplete(
                f"{record.name} is to be {record.planned}, but is no weight of a layer.",
                hint="leave the role 'other' out of the compression.",
            )
        values = attribute(module, record.name).detach().numpy()
        expression = _encoded(values, record, in_half)
        _replace(module, nodes, expression, f"compressed_{place}")
    module.graph.lint()
    module.recompile()


def _encoded(values: NDArray[Any], record: WeightRecord, in_half: bool) -> ConstExpr:
    channel, block = (1, 0) if record.role == "conv_transpose" else (0, 1)
    layout = Layout(channel, block, "float16" if in_half else "float32", packed=False)
    try:
        expression = encode(values, record.planned, layout)
    except CompressionIncomplete as error:
        raise CompressionIncomplete(
            f"{record.name} cannot be stored as {record.planned}: {error.message}"
        ) from error
    if expression is None or expression.inner is not None:
        raise CompressionIncomplete(f"{record.name} cannot be stored as {record.planned}.")
    return expression


def _replace(module: GraphModule, nodes: list[Node], expression: ConstExpr, prefix: str) -> None:
    """Put one operation on buffers in the place of all reads of a weight."""
    graph = module.graph
    with graph.inserting_before(nodes[0]):
        given = {}
        for name, value in expression.arguments.items():
            if isinstance(value, Stored):
                attribute = f"{prefix}_{name}"
                module.register_buffer(attribute, torch.from_numpy(value.values.copy()))
                given[name] = graph.get_attr(attribute)
        made = _call(graph, expression, given)
    for node in nodes:
        node.replace_all_uses_with(made)
        graph.erase_node(node)


def _call(graph: torch.fx.Graph, expression: ConstExpr, given: dict[str, Node]) -> Node:
    ops = torch.ops.coreai
    if expression.op == "constexpr_lut_to_dense":
        return graph.call_function(ops.lut_to_dense.default, (given["indices"], given["lut"], 0))
    if expression.op == "constexpr_sparse_to_dense":
        return graph.call_function(
            ops.sparse_to_dense.default, (given["nonzero_data"], given["mask"])
        )
    # Without the type, coreai-torch takes the narrowest one that the values happen to fit.
    data = cast("Stored", expression.arguments["data"])
    element = _INTEGERS[data.values.dtype.kind, data.bits]
    return graph.call_function(
        ops.constexpr_blockwise_shift_scale.default,
        (given["data"], given["scale"], given.get("offset"), None, element, None),
    )
