"""Build a module of torch from the ops of a SavedModel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.identifiers import unique_names
from mobilesdk.graph.rewriting import add_tensor, named_tensor
from mobilesdk.graph.saved_model.graph import VARIABLES, FlatGraph
from mobilesdk.graph.saved_model.node import Node, Ref
from mobilesdk.graph.saved_model.ops import OPS
from mobilesdk.graph.saved_model.ops.registry import Op, refused

_NUMBER = re.compile(r"_\d+$")


@dataclass(frozen=True)
class _Known:
    """An operand that is no tensor of the module: an axis, a shape, a number."""

    value: Any


@dataclass(frozen=True)
class _Step:
    """An op whose result depends on inputs or weights."""

    node: Node
    op: Op
    operands: tuple[Ref | _Known, ...]


class SavedModelModule(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
    """Computes what a graph of TensorFlow does, op by op.

    Variables are parameters under their names (``block/conv/kernel`` is ``block.conv.kernel``),
    those of integers buffers. What follows from constants and from the shapes of the inputs is
    computed once, when the module is built.

    Args:
        graph: Flat.
        inputs: Name of a node → example input, in the order in which they are given.
        variables: Name of a node → value.

    Raises:
        InvalidModel: An op cannot be written exactly, or takes a shape from values.
    """

    def __init__(
        self,
        graph: FlatGraph,
        inputs: Mapping[str, Tensor],
        variables: Mapping[str, NDArray[Any]],
    ) -> None:
        super().__init__()
        self._inputs = tuple(inputs)
        self._outputs = graph.outputs
        builder = _Builder(inputs, variables)
        with torch.no_grad():
            for node in graph.nodes:
                builder.add(node)
        self._steps = builder.steps
        tensors = builder.tensors_of(graph.outputs)
        names = unique_names(_plain_names([name for (name, _), _ in tensors], variables), ".")
        self._names: dict[Ref, str] = {}
        for (ref, value), name in zip(tensors, names, strict=True):
            is_weight = ref[0] in variables and value.is_floating_point()
            add_tensor(self, name, value, parameter=is_weight)
            self._names[ref] = name
        self.train(False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph on the inputs; give its outputs."""
        values = {ref: named_tensor(self, name) for ref, name in self._names.items()}
        values |= {(name, 0): value for name, value in zip(self._inputs, inputs, strict=True)}
        for step in self._steps:
            _store(values, step.node, _computed(step, values))
        return tuple(values[ref] for ref in self._outputs)


class _Builder:
    """Tells what is computed once from what is computed for every input."""

    def __init__(self, inputs: Mapping[str, Tensor], variables: Mapping[str, NDArray[Any]]) -> None:
        self._values: dict[Ref, Any] = {(name, 0): value for name, value in inputs.items()}
        self._varying = set(self._values)
        self._variables = variables
        self._taken: dict[Ref, None] = {}
        self.steps: list[_Step] = []

    def add(self, node: Node) -> None:
        """Take the next node of the graph."""
        ref = (node.name, 0)
        if ref in self._values or node.op == "NoOp":
            return
        if node.op == "Placeholder":
            raise refused(node, "is an input that the signature does not name")
        if node.op == "Const":
            self._values[ref] = node["value"]
        elif node.op in VARIABLES:
            self._values[ref] = torch.from_numpy(self._variables[node.name])
            self._varying.add(ref)
            self._taken[ref] = None
        else:
            self._compute(node, OPS[node.op])

    def tensors_of(self, outputs: Sequence[Ref]) -> list[tuple[Ref, Tensor]]:
        """Give the weights, and the constants that ops or outputs take as tensors."""
        constants = (ref for ref in outputs if ref not in self._varying)
        taken = dict.fromkeys((*self._taken, *constants))
        return [(ref, _as_tensor(self._values[ref])) for ref in taken]

    def _compute(self, node: Node, op: Op) -> None:
        varies = any(ref in self._varying for ref in node.inputs) and not op.of_shape
        count = len(node.inputs)
        operands = tuple(
            self._operand(node, op, ref, op.is_host(place, count), varies)
            for place, ref in enumerate(node.inputs)
        )
        step = _Step(node, op, operands)
        tensors = {
            ref: _as_tensor(self._values[ref]) for ref in operands if not isinstance(ref, _Known)
        }
        try:
            results = _computed(step, tensors)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            shapes = [list(np.shape(self._values[ref])) for ref in node.inputs]
            raise refused(node, f"cannot be computed for operands of {shapes}: {error}") from error
        written = _store(self._values, node, results)
        if varies:
            self._varying.update(written)
            self._taken.update((ref, None) for ref in tensors if ref not in self._varying)
            self.steps.append(step)
        else:
            self._values.update((ref, self._values[ref].numpy()) for ref in written)

    def _operand(self, node: Node, op: Op, ref: Ref, is_host: bool, varies: bool) -> Ref | _Known:
        if ref not in self._values:
            raise refused(node, "takes an output that is for training only")
        value = self._values[ref]
        if is_host:
            if ref in self._varying:
                raise refused(
                    node,
                    "takes a shape, an axis or a count from the values of a tensor",
                    "keep these numbers fixed, or leave that part to the app.",
                )
            return _Known(value)
        if isinstance(value, tuple):  # texts
            return _Known(value)
        is_scalar = op.scalars and varies and ref not in self._varying and value.ndim == 0
        return _Known(value.item()) if is_scalar else ref


def _plain_names(names: Sequence[str], variables: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Take the number away that TensorFlow has put behind the name of a variable.

    A variable stands in the file as often as objects of the model hold it: ``kernel``,
    ``kernel_1``, ``kernel_2``. One of them is read. Where two would get one name, they keep theirs.
    """
    plain = [_NUMBER.sub("", name) if name in variables else name for name in names]
    counts = Counter(plain)
    for own, short in zip(names, plain, strict=True):
        yield short if counts[short] == 1 else own


def _computed(step: _Step, values: Mapping[Ref, Any]) -> Any:
    operands = (
        operand.value if isinstance(operand, _Known) else values[operand]
        for operand in step.operands
    )
    return step.op.function(step.node, *operands)


def _store(values: dict[Ref, Any], node: Node, results: Any) -> list[Ref]:
    """Keep the outputs of a node; give their names."""
    found = results if isinstance(results, tuple) else (results,)
    refs = [(node.name, place) for place in range(len(found))]
    values.update(zip(refs, found, strict=True))
    return refs


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple):
        raise InvalidModel(
            "The SavedModel computes with texts.",
            hint="let the model begin behind the part that makes numbers of texts.",
        )
    return torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
