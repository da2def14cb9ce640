"""Branches, loops and selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Blocks, Tensors
from mobilesdk.coreml.ops.registry import OpError, op

MAX_ITERATIONS = 1_000_000


@op("cond", kind="structural")
def cond(*, pred: bool, blocks: Blocks) -> tuple[Any, ...]:
    """Run the first block if the predicate holds, else the second."""
    return blocks[0 if pred else 1]()


@op("while_loop", kind="structural")
def while_loop(*, loop_vars: Tensors, blocks: Blocks) -> tuple[Any, ...]:
    """Run the second block on the variables while the first gives true for them."""
    condition, body = blocks
    variables = tuple(loop_vars)
    for _ in range(MAX_ITERATIONS):
        if not bool(condition(*variables)[0]):
            return variables
        variables = body(*variables)
    raise OpError(f"the loop did not end after {MAX_ITERATIONS} iterations")


@op("select", kind="move")
def select(*, cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Take a where the condition holds, else b; all are broadcast."""
    return torch.where(cond.bool(), a, b)
