"""How an op of TensorFlow is written in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.saved_model.node import Node

Function = Callable[..., Any]
"""Takes the node and its operands, and gives a tensor, or a tuple of all outputs."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Op:
    """An op.

    Attributes:
        function: Of the node and its operands.
        host: Positions of operands whose values have to be known when the model is read, such as
            axes and shapes: arrays of NumPy. Negative ones count from the end.
        scalars: Whether operands without axes may be Python numbers.
        of_shape: Whether the result depends on the shape and dtype of the first operand alone: it
            is known when the model is read.
    """

    function: Function
    host: tuple[int, ...] = ()
    scalars: bool = False
    of_shape: bool = False

    def is_host(self, place: int, count: int) -> bool:
        """Tell whether an operand has to be known when the model is read."""
        return place in self.host or place - count in self.host


@dataclass
class Family:
    """The ops of a file."""

    operations: dict[str, Op] = field(default_factory=dict)

    def __call__(
        self,
        *names: str,
        host: tuple[int, ...] = (),
        scalars: bool = False,
        of_shape: bool = False,
    ) -> Callable[[Function], Function]:
        """Add a function under the names of the ops that it computes."""

        def add(function: Function) -> Function:
            op = Op(function, host, scalars, of_shape)
            self.operations.update(dict.fromkeys(names, op))
            return function

        return add


def refused(node: Node, why: str, hint: str = "") -> InvalidModel:
    """Give the error for a node that cannot be written exactly."""
    return InvalidModel(
        f"{node} of the SavedModel {why}.",
        hint=hint or "write that part with other ops, and save the model again.",
    )


def integers(value: Array) -> tuple[int, ...]:
    """Give the numbers of a shape, or of a list of axes."""
    return tuple(int(number) for number in np.ravel(value))


def torch_dtype(node: Node, name: str) -> torch.dtype:
    """Give a dtype by its name in TensorFlow."""
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise refused(node, f"gives {name}, which no format has")
    return dtype
