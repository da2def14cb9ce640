"""Find the operators of a LiteRT file that compute norms: they stay float in a static int8 file.

A norm divides by the root of a mean or sum of squares. In 8 bits the squares of small values are 0,
so is the root of a small sum, and what is divided by it has no value. Layer, group and instance
norms, RMS norms and vectors made to have length 1 all have this form once they are converted:

    squares → sum or mean → (+ epsilon, maximum) → root → products and quotients with it

The arithmetic beside that path which only handles statistics (the mean of the values, scaled by the
root, say) belongs to the norm too; the scale and shift behind it do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from mobilesdk.flatbuffers.tflite import Operator, Subgraph

_ROOTS = frozenset({"SQRT", "RSQRT"})
_SQUARES = frozenset({"SQUARE", "SQUARED_DIFFERENCE"})
_REDUCTIONS = frozenset({"SUM", "MEAN"})
_MOVES = frozenset({"RESHAPE", "BROADCAST_TO", "SQUEEZE", "EXPAND_DIMS"})
_ARITHMETIC = frozenset({"ADD", "SUB", "MUL", "DIV", "MAXIMUM"})


def norm_operators(subgraph: Subgraph) -> list[Operator]:
    """Give the operators that are part of a norm, in the order of the file."""
    graph = _Graph(subgraph)
    found: set[int] = set()
    for place, operator in enumerate(subgraph.operators):
        if operator.type in _ROOTS:
            found |= graph.norm_of(place)
    return [subgraph.operators[place] for place in sorted(found)]


class _Graph:
    """Operators by place, with who gives and who takes each value."""

    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph
        self._operators = subgraph.operators
        self._givers = {
            index: place
            for place, operator in enumerate(subgraph.operators)
            for index in operator.outputs
        }

    def norm_of(self, root: int) -> set[int]:
        """Give the norm that a root belongs to; empty if no squares lead to it."""
        inside = self._behind(root)
        squares = [place for place in inside if self._squares(place)]
        if not squares:
            return set()
        elements = max(self._elements(place) for place in squares)
        pending = list(inside)
        while pending:
            place = pending.pop()
            inside.add(place)
            pending.extend(
                giver
                for giver in self._taken(place)
                if giver not in inside and self._is_statistic(giver, elements)
            )
            if place in squares or self._elements(place) >= elements:
                continue  # the values themselves: whoever takes them is no part of the norm
            pending.extend(
                user
                for user in self._users(place)
                if user not in inside and self._operators[user].type in _MOVES | _ARITHMETIC
            )
        return inside

    def _behind(self, root: int) -> set[int]:
        """Walk from a root back to the squares that are summed up for it, and the differences."""
        inside, pending = {root}, [(root, False)]
        while pending:
            place, summed = pending.pop()
            for giver in self._taken(place):
                kind = self._operators[giver].type
                if summed and self._squares(giver):
                    inside.add(giver)
                    inside.update(self._differences(giver))
                elif kind in _REDUCTIONS and not summed:
                    inside.add(giver)
                    pending.append((giver, True))
                elif kind in _MOVES or (kind in _ARITHMETIC and not summed):
                    inside.add(giver)
                    pending.append((giver, summed))
        return inside

    def _differences(self, square: int) -> Iterator[int]:
        for giver in self._taken(square):
            if self._operators[giver].type in ("SUB", "ABS"):
                yield giver

    def _squares(self, place: int) -> bool:
        operator = self._operators[place]
        product = operator.type == "MUL" and len(set(operator.inputs)) == 1
        return product or operator.type in _SQUARES

    def _is_statistic(self, place: int, elements: int) -> bool:
        """Tell whether an operator gives numbers about many values, not the values."""
        kinds = _MOVES | _ARITHMETIC | _REDUCTIONS
        return self._operators[place].type in kinds and self._elements(place) < elements

    def _taken(self, place: int) -> list[int]:
        inputs = self._operators[place].inputs
        return [self._givers[index] for index in inputs if index in self._givers]

    def _users(self, place: int) -> list[int]:
        given = set(self._operators[place].outputs)
        return [
            user for user, operator in enumerate(self._operators) if given & set(operator.inputs)
        ]

    def _elements(self, place: int) -> int:
        return prod(self._subgraph.tensors[self._operators[place].outputs[0]].shape)
