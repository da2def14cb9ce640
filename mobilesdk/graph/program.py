"""Read and write exported programs; take one apart to change it, and put it together again.

A program is flat: leaf tensors in, positionally, in the contract's order; a tuple of tensors out;
sizes are numbers, or symbols where the contract has dimensions. ``original.pt2`` and
``program.pt2`` are such programs, and nothing else opens them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mobilesdk.errors import ArtifactInvalid, WriteFailed
from mobilesdk.graph.origin import keep_places


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Read a program that mobilesdk itself has written.

    Args:
        path: A ``.pt2`` file. Its hash has been checked: the format is not safe for files of
            unknown origin.

    Raises:
        ArtifactInvalid: The file is missing or is no exported program.
    """
    try:
        with path.open("rb") as file:
            return torch.export.load(file)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ArtifactInvalid(
            f"{path.name} cannot be read as an exported program: {error}",
            hint="clear the cache and build again: it is damaged, or another torch wrote it.",
        ) from error


def save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program; equal programs give equal bytes, wherever they were made.

    Args:
        program: Changed in place: of the stack traces of its nodes, which hold paths of this
            machine, the model's own line stays; their histories, which hold addresses, go.
        path: The ``.pt2`` file to write.

    Raises:
        WriteFailed: The file system refused.
    """
    keep_places(program.graph.nodes)
    _forget_histories(program.graph)
    try:
        with path.open("wb") as file:
            torch.export.save(program, file)
    except OSError as error:
        raise WriteFailed(f"{path} cannot be written: {error}") from error


def tensors_by_name(program: torch.export.ExportedProgram) -> dict[str, Any]:
    """Give parameters, buffers and constants by fully qualified name; a constant may be an object.

    Tensors are shared with the program.
    """
    return {**program.state_dict, **program.constants}


def graph_module(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """Give the program as a module with its weights as attributes, to run or to rewrite.

    Returns:
        Takes leaf tensors and gives a tuple of them; in evaluation mode, without gradients and
        input guards. Attribute names are the fully qualified names of the program's state, and
        placeholders have the names of the inputs. Tensors are shared with the program.
    """
    module = program.module(check_guards=False)
    _forget_histories(module.graph)
    module.graph.set_codegen(torch.fx.graph.CodeGen())  # flat already: no structures to rebuild
    module.recompile()
    torch.nn.Module.train(module, False)  # its own eval() refuses; the graph holds no mode
    return module.requires_grad_(False)


def export_program(
    module: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    dynamic_shapes: Sequence[Mapping[int, Any]] = (),
) -> torch.export.ExportedProgram:
    """Export a module that takes and gives flat tensors, without mutation.

    Args:
        module: In evaluation mode.
        inputs: Example leaf tensors in the contract's order.
        dynamic_shapes: Axis → ``torch.export.Dim`` for each input; shapes are static without.
    """
    dynamic: Any = tuple(map(dict, dynamic_shapes)) if any(dynamic_shapes) else None
    if dynamic and not isinstance(module, torch.fx.GraphModule):
        dynamic = (dynamic,)  # all leaves are one variadic argument
    with torch.no_grad(), _own_deprecations_ignored():
        program = torch.export.export(module, tuple(inputs), dynamic_shapes=dynamic)
    return decompose(program, {})


def decompose(
    program: torch.export.ExportedProgram, rules: dict[Any, Callable[..., Any]]
) -> torch.export.ExportedProgram:
    """Write some ops of a program by others.

    Args:
        program: Functional; stays as it is.
        rules: Op → what computes the same.
    """
    _forget_histories(program.graph)
    with torch.no_grad(), _own_deprecations_ignored():
        decomposed = program.run_decompositions(rules)
    _forget_histories(decomposed.graph)
    return decomposed


def _forget_histories(graph: torch.fx.Graph) -> None:
    """Drop what torch notes of the nodes that each node comes from.

    Every pass over a graph copies all of it into a history that is longer by one, and so a program
    that went through a dozen passes is held up by copying. Nothing here looks at it.
    """
    for node in graph.nodes:
        node.meta.pop("from_node", None)


@contextmanager
def _own_deprecations_ignored() -> Iterator[None]:
    """Hold back that torch 2.13 copies its own tree specs through a class that it deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`")
        yield
