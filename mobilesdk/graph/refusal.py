"""Tell a person which lines of the model a converter refuses."""

from __future__ import annotations

import re
from typing import Any

import torch

from mobilesdk.errors import NO_PLACE, ConversionFailed, Place
from mobilesdk.graph.origin import place_of_node
from mobilesdk.graph.program import decompose

_NAME_IN_TEXT = re.compile(
    r"\b(aten(?:\.|::)\w+(?:\.\w+)?)"
    r"|['\"`]([A-Za-z_][\w.]*)['\"`]"
    r"|\b(?:op|node|operator|operation|kind|function) ([A-Za-z_]\w*)"
)
_NAMED = 5  # of the lines that call an op


def refused(
    program: torch.export.ExportedProgram | None, message: str, *, hint: str
) -> ConversionFailed:
    """Make the error for a program that a converter refuses, with the lines that it is about.

    Args:
        program: With the places that `keep_places` left; ``None`` if there is none to look at.
        message: What the converter says. It names an op by its node or its type, as it stands in
            the program or as torch writes it by the core ATen ops.
        hint: What to do now.
    """
    places = [] if program is None else _places_named(program, message)
    if places:
        others = [str(place) for place in places[1:_NAMED]]
        others += [f"{len(places) - _NAMED} more lines"] if len(places) > _NAMED else []
        message += f" Called in {', '.join(others)} too." if others else ""
    return ConversionFailed(message, hint=hint, place=places[0] if places else NO_PLACE)


def _places_named(program: torch.export.ExportedProgram, message: str) -> list[Place]:
    words = {found for groups in _NAME_IN_TEXT.findall(message) for found in groups if found}
    words = {word.replace("::", ".") for word in words}
    found = _calling(program, words)
    return found or (
        _calling(decompose(program, torch.export.default_decompositions()), words) if words else []
    )


def _calling(program: torch.export.ExportedProgram, words: set[str]) -> list[Place]:
    places = [
        place_of_node(node)
        for node in program.graph.nodes
        if node.op == "call_function" and words & _names(node)
    ]
    return list(dict.fromkeys(place for place in places if place.file))


def _names(node: torch.fx.Node) -> set[str]:
    """Give the words by which converters name a node, but for those that many nodes share."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        target = getattr(target, "_op", None)  # of an edge program of ExecuTorch
    if not isinstance(target, torch._ops.OpOverload):
        return {node.name}
    packet = target.overloadpacket
    qualified = str(packet)  # aten.fft_fft
    return {node.name, str(target), qualified, qualified.partition(".")[2]}
