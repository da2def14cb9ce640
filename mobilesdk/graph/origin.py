"""Where in the model's own source something comes from: the file and line to open."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

from mobilesdk.data.origin import is_source
from mobilesdk.errors import NO_PLACE, Place

_FRAME = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>\S+)')
_REDUCED = re.compile(r'File "[^/<"\n][^"\n]*", line \d+, in \S+')


def keep_places(nodes: Iterable[torch.fx.Node]) -> None:
    """Reduce the stack traces of nodes to the innermost line of the model's source, in place.

    The file is named from the folder that Python finds it in, so that programs that were made from
    the same source in other folders are equal. Traces that were reduced before stay.
    """
    for node in nodes:
        trace = node.meta.get("stack_trace") or ""
        if _REDUCED.fullmatch(trace):
            continue
        node.meta.pop("stack_trace", None)
        own = [each for each in _FRAME.finditer(trace) if is_source(each["file"])]
        if own:
            name, last = _portable(own[-1]["file"]), own[-1]
            node.meta["stack_trace"] = f'File "{name}", line {last["line"]}, in {last["function"]}'


def place_of_node(node: torch.fx.Node) -> Place:
    """Give the line of the model's source that called a node, if it is known."""
    found = _FRAME.search(node.meta.get("stack_trace") or "")
    return Place(found["file"], int(found["line"])) if found else NO_PLACE


@cache
def _portable(file: str) -> str:
    """Name a file from the deepest folder of ``sys.path`` that it lies in."""
    path = Path(file).resolve()
    folders = [Path(each).resolve() for each in sys.path if each]
    inside = [folder for folder in folders if path.is_relative_to(folder)]
    if not inside:
        return path.name
    return path.relative_to(max(inside, key=lambda folder: len(folder.parts))).as_posix()
