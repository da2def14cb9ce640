"""From a module to a Core AI asset with coreai-torch.

coreai-torch and coreai-core are imported inside functions.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule

from mobilesdk.core.contract import Contract
from mobilesdk.coreai.canonical import canonicalize
from mobilesdk.errors import ConversionFailed

_aten = torch.ops.aten
_HINT = "write the op that is named by others that Core AI has."


def import_coreai_torch() -> Any:
    """Import coreai-torch without its warning that it knows torch 2.13 under no local version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coreai_torch

    return coreai_torch


def write_asset(
    module: GraphModule, inputs: Sequence[torch.Tensor], contract: Contract, path: Path
) -> None:
    """Convert a module and write it, in canonical bytes.

    Args:
        module: Flat, in the contract's order.
        inputs: Example inputs.
        contract: Names of inputs and outputs.
        path: The ``.aimodel`` folder to write.

    Raises:
        ConversionFailed: coreai-torch has no operation of Core AI for one of torch, or refused.
    """
    coreai_torch = import_coreai_torch()
    with _quiet():
        try:
            program = torch.export.export(module, tuple(inputs))
            program = program.run_decompositions(coreai_torch.get_decomp_table())
            drop_restrides(program)
            converter = coreai_torch.TorchConverter(mode=coreai_torch.TorchConverter.Mode.RELEASE)
            converter.add_exported_program(
                program,
                input_names=[spec.name for spec in contract.inputs],
                output_names=[spec.name for spec in contract.outputs],
            )
            converted = converter.to_coreai()
            _strip_locations(converted)
            converted.save_asset(path)
        except _REFUSALS as error:
            raise _failure(error) from error
    canonicalize(path)


_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,  # NotImplementedError too
    TypeError,
    ValueError,
)


def drop_restrides(program: torch.export.ExportedProgram) -> None:
    """Remove ``as_strided`` that only states the strides of axes of size 1 anew, in place.

    torch decomposes the global average pool of a channels-last tensor into one, and the converter
    has no operation for it.
    """
    graph = program.graph
    for node in graph.find_nodes(op="call_function", target=_aten.as_strided.default):
        source = node.args[0]
        before, after = source.meta["val"], node.meta["val"]
        if before.shape == after.shape and _strides(before) == _strides(after):
            node.replace_all_uses_with(source)
            graph.erase_node(node)
    program.graph_module.recompile()


def _strides(tensor: torch.Tensor) -> list[int]:
    """Give the strides of the axes that have more than one element."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return [stride for size, stride in pairs if size > 1]


def _strip_locations(converted: Any) -> None:
    """Take places in source files, which are paths of this machine, out of the program."""
    from coreai_torch.debugging.debug_info import strip_debug_info

    strip_debug_info(converted)


def _failure(error: Exception) -> ConversionFailed:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ConversionFailed(f"coreai-torch: {reason}", hint=_HINT)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back warnings of torch and the converter about each other."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
