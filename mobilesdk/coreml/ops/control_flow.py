"""Branches, loops and selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Blocks, Values
from mobilesdk.coreml.ops.registry import op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_broadcast


@op("cond", kind="structural")
def cond(*, pred: bool, blocks: Blocks) -> tuple[Any, ...]:
    """Run the first block if the predicate holds, else the second."""
    return blocks[0 if pred else 1]()


@op("while_loop", kind="structural")
def while_loop(*, loop_vars: Values, blocks: Blocks) -> tuple[Any, ...]:
    """Run the second block on the variables while the first gives true for them."""
    condition, body = blocks
    variables = tuple(loop_vars)
    while bool(condition(*variables)[0]):
        variables = body(*variables)
    return variables


@op("select", kind="move")
def select(*, cond: Tensor, a: Tensor, b: Tensor, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """Take a where the condition holds, else b; all are broadcast."""
    check_broadcast(max_elements, cond, a, b)
    return torch.where(cond.bool(), a, b)
