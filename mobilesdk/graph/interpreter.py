"""Run a program node by node on many samples, with several sets of weights side by side.

A method that compares the compressed network with the float one, layer by layer, needs both values
of a node at the same time, over all samples, and may want to change one before the next node sees
it. Programs take one sample at a time, so a value is a list with one entry per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from mobilesdk.errors import StepFailed
from mobilesdk.graph.roles import weight_nodes

Values = list[list[Any]]
"""``values[variant][sample]``: what a node gives. One entry, not one per sample, where no input of
the model takes part."""

Visit = Callable[[Node, Values], None]
"""Called after each input and op; may replace entries of the values, which later ops then see."""


def run_variants(
    program: torch.export.ExportedProgram,
    states: Sequence[Mapping[str, Tensor]],
    samples: Sequence[Sequence[Tensor]],
    visit: Visit,
    report: Callable[..., None],
) -> list[list[tuple[Tensor, ...]]]:
    """Run a program on every sample under every state, all together one node at a time.

    Values are freed after their last use, so memory holds the widest point of the network.

    Args:
        program: Flat, static; changes nothing in place.
        states: One per variant: parameters, buffers and constants by fully qualified name. Names
            that a state lacks are taken from the program. A state is read when an op takes a value
            of it, so that ``visit`` may change it for later ops.
        samples: Input tensors of each sample, in the order of the program.
        visit: Called after each user input and each op with its values.
        report: Called with a message and the share done.

    Returns:
        Outputs by variant and sample.

    Raises:
        StepFailed: An op cannot be run; the message names it.
    """
    walk = _Walk(program, states, samples)
    nodes = list(program.graph.nodes)
    with torch.no_grad():
        for place, node in enumerate(nodes):
            if node.op == "output":
                return walk.outputs(node)
            varies = walk.evaluate(node)
            if varies:
                visit(node, walk.values[node])
            walk.free_after(node)
            report("running the network layer by layer", place / len(nodes))
    raise StepFailed("The program has no output.", hint="export the model again.")


class _Walk:
    """Values of all live nodes."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        states: Sequence[Mapping[str, Tensor]],
        samples: Sequence[Sequence[Tensor]],
    ) -> None:
        self.values: dict[Node, Values] = {}
        self._program = program
        self._variants = len(states)
        self._samples = len(samples)
        self._last_uses = _last_uses(program.graph)
        self._varying: set[Node] = set()
        self._states = states
        self._own = {**program.state_dict, **program.constants}
        self._names = {node: name for name, node in weight_nodes(program).items()}
        for node, tensors in zip(_user_inputs(program), zip(*samples, strict=True), strict=True):
            self.values[node] = [list(tensors) for _ in states]
            self._varying.add(node)

    def evaluate(self, node: Node) -> bool:
        """Compute a node; tell whether its values differ between samples."""
        if node.op == "placeholder":
            return node in self._varying
        if node.op != "call_function":
            raise StepFailed(
                f"{node.name} is a {node.op} node, which cannot be run op by op.",
                hint="export the model without control flow and nested graphs.",
            )
        varies = any(source in self._varying for source in node.all_input_nodes)
        if varies:
            self._varying.add(node)
        count = self._samples if varies else 1
        self.values[node] = [
            [self._call(node, variant, sample) for sample in range(count)]
            for variant in range(self._variants)
        ]
        return varies

    def _call(self, node: Node, variant: int, sample: int) -> Any:
        args = self._arguments(node.args, variant, sample)
        kwargs = self._arguments(node.kwargs, variant, sample)
        target: Any = node.target
        try:
            return target(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            raise StepFailed(
                f"{node.name} ({node.target}) cannot be run: {error}",
                hint="check that the calibration samples have the shapes and dtypes of the model.",
            ) from error

    def _arguments(self, arguments: Any, variant: int, sample: int) -> Any:
        def value(node: Node) -> Any:
            if node in self._names:
                name = self._names[node]
                return self._states[variant].get(name, self._own[name])
            values = self.values[node][variant]
            return values[sample if node in self._varying else 0]

        return torch.fx.map_arg(arguments, value)

    def free_after(self, node: Node) -> None:
        """Drop the values that no later node takes."""
        for source in self._last_uses.get(node, ()):
            self.values.pop(source, None)

    def outputs(self, node: Node) -> list[list[tuple[Tensor, ...]]]:
        """Give what the program returns, by variant and sample."""
        return [
            [self._arguments(node.args[0], variant, sample) for sample in range(self._samples)]
            for variant in range(self._variants)
        ]


def _user_inputs(program: torch.export.ExportedProgram) -> list[Node]:
    placeholders = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    return [placeholders[name] for name in program.graph_signature.user_inputs]


def _last_uses(graph: torch.fx.Graph) -> dict[Node, list[Node]]:
    """Map each node to those whose values it is the last to take; unused nodes to themselves."""
    last: dict[Node, Node] = {}
    for node in graph.nodes:
        last[node] = node
        last.update(dict.fromkeys(node.all_input_nodes, node))
    uses: dict[Node, list[Node]] = {}
    for node, user in last.items():
        uses.setdefault(user, []).append(node)
    return uses
