"""What a rule for an op works with while the dependencies of a program are traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.fx import Node

from mobilesdk.graph.pruning.units import STAYS, Axes, Labels, Units, stays
from mobilesdk.graph.roles import VIEWS


class NoRule(Exception):
    """Raised by a rule that does not know what an op does to channels; says why."""


@dataclass(frozen=True)
class WeightAxis:
    """An axis of a weight in a layer.

    Attributes:
        layer: The op that takes the weight.
        constant: Fully qualified name of the weight.
        axis: Of the weight as it is stored.
    """

    layer: Node
    constant: str
    axis: int


@dataclass
class Trace:
    """Labels of all values so far.

    Attributes:
        units: All units.
        constants: Labels of each axis of every parameter, buffer and constant, by name.
        values: Labels of every node; of each part for a node that gives several.
        makes: Axes of weights along which a layer makes channels.
        takes: Axes of weights along which a layer takes channels.
        sums: Labels of what is the sum of two values that depend on the inputs.
    """

    units: Units = field(default_factory=Units)
    constants: dict[str, Axes] = field(default_factory=dict)
    values: dict[Node, Axes | tuple[Axes, ...]] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    makes: list[WeightAxis] = field(default_factory=list)
    takes: list[WeightAxis] = field(default_factory=list)
    sums: list[Labels] = field(default_factory=list)

    def axes(self, node: Any) -> Axes:
        """Give the labels of a value.

        Raises:
            NoRule: It is none, or several.
        """
        found = self.values.get(node) if isinstance(node, Node) else None
        if found is None or (found and isinstance(found[0], tuple)):
            raise NoRule("it takes something else than one tensor")
        return found  # type: ignore[return-value]  # told apart above

    def weight(self, layer: Node, node: Node, *, makes: int, takes: int) -> Axes:
        """Note the axes along which a layer's weight makes and takes channels; give its labels.

        Raises:
            NoRule: The weight is computed.
        """
        labels = self.axes(node)
        source = node
        while source not in self.names and source.target in VIEWS:
            source = source.all_input_nodes[0]
        if source not in self.names:
            raise NoRule("its weight is computed")
        name = self.names[source]
        self.makes.append(WeightAxis(layer, name, self._stored(name, labels[makes])))
        self.takes.append(WeightAxis(layer, name, self._stored(name, labels[takes])))
        return labels

    def _stored(self, name: str, labels: Labels) -> int:
        """Tell which axis of a stored weight has these labels, behind a transposition."""
        for axis, own in enumerate(self.constants[name]):
            if own.shape == labels.shape and (own == labels).all():
                return axis
        raise NoRule("its weight has another shape than the stored one")

    def varies(self, node: Node) -> bool:
        """Tell whether a value depends on the inputs."""
        pending = [node]
        while pending:
            source = pending.pop()
            if source.op == "placeholder" and source not in self.names:
                return True
            pending.extend(source.all_input_nodes)
        return False

    def broadcast(self, operands: Sequence[Axes], where: str) -> Axes:
        """Unite operands that are stretched to one shape."""
        rank = max(len(axes) for axes in operands)
        result = []
        for place in range(-rank, 0):
            labels = [axes[place] for axes in operands if len(axes) >= -place]
            wide = [each for each in labels if len(each) > 1] or [stays(1)]
            for other in wide[1:]:
                self.units.unite(wide[0], other, where)
            result.append(_most_labelled(wide))
        return tuple(result)


def _most_labelled(labels: Sequence[Labels]) -> Labels:
    """Give labels that tell most: those of what stays tell nothing."""
    return max(labels, key=lambda each: int((each != STAYS).sum()))
