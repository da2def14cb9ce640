"""Write the values of every op of the float model: what the ops of an artifact are held against."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import FloatOp, FloatOps
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.graph.interpreter import Values, run_variants
from mobilesdk.graph.lineage import Lineage
from mobilesdk.graph.program import load_program

RECORD_NAME = "float_ops.json"


def write_float_ops(
    program: Path, contract: Contract, samples: Samples, count: int, context: StepContext
) -> None:
    """Run the prepared program on the first samples; write its inputs and what its ops give.

    Writes ``float_ops.json`` (`FloatOps`) and one ``.npy`` file for each op that gives
    floating-point numbers which depend on the inputs, ``[samples, *shape]``.

    Args:
        program: A ``.pt2`` file of our own.
        contract: Of the model.
        samples: Where the inputs come from.
        count: How many samples are taken, or all if there are fewer.
        context: Where to write.

    Raises:
        StepFailed: An op cannot be run on its own.
    """
    torch.set_num_threads(context.threads)
    inputs = [
        [torch.from_numpy(np.array(sample[spec.name])) for spec in contract.inputs]
        for sample in islice(samples, count)
    ]
    exported = load_program(program)
    lineage = Lineage(exported.graph)
    outputs = _outputs(exported, contract)
    found: dict[Node, FloatOp] = {}

    def visit(node: Node, values: Values) -> None:
        tensors = values[0]
        if not all(_is_float(tensor) for tensor in tensors):
            return
        file = f"float_{len(found)}.npy"
        stacked = np.stack([tensor.numpy() for tensor in tensors])
        np.save(context.output / file, stacked, allow_pickle=False)
        found[node] = FloatOp(
            name=node.name,
            type="input" if node.op == "placeholder" else str(node.target),
            module=_module(node),
            shape=stacked.shape[1:],
            sources=tuple(source.name for source in lineage.sources(node, found)),
            same_as=lineage.origin(node).name,
            outputs=outputs.get(node.name, ()),
            file=file,
        )

    run_variants(exported, [{}], inputs, visit, context.report)
    record = FloatOps(sample_count=len(inputs), ops=tuple(found.values()))
    (context.output / RECORD_NAME).write_text(record.model_dump_json(), encoding="utf-8")


def _outputs(
    program: torch.export.ExportedProgram, contract: Contract
) -> dict[str, tuple[str, ...]]:
    """Map names of nodes to the outputs that they are."""
    found: dict[str, tuple[str, ...]] = {}
    for node, spec in zip(program.graph_signature.user_outputs, contract.outputs, strict=True):
        found[node] = (*found.get(node, ()), spec.name)
    return found


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _module(node: Node) -> str:
    """Give the path of the innermost module, as the user's model calls it."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("module").removeprefix(".")
