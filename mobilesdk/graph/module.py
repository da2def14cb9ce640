"""Check, run and export the module that a user gave."""

from __future__ import annotations

import torch
from torch.utils import _pytree as pytree

from mobilesdk.errors import ConversionFailed, InvalidModel
from mobilesdk.graph.flatten import Leaves, export_flat, output_leaves


def checked_module(module: torch.nn.Module) -> torch.nn.Module:
    """Give the module without gradients.

    Raises:
        InvalidModel: It is in training mode, has weights that are not float32, or holds weights
            outside of the main memory.
    """
    training = [name for name, each in module.named_modules() if each.training]
    if training:
        where = "The module" if "" in training else f"Its part {training[0]!r}"
        raise InvalidModel(
            f"{where} is in training mode: dropout and batch norms would be compressed as if "
            "training went on.",
            hint="call module.eval() before returning it.",
        )
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise InvalidModel(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}.",
                hint="return the model in float32 (module.float()); compression starts from there.",
            )
        if tensor.device.type != "cpu":
            raise InvalidModel(
                f"{name} lies on {tensor.device}.", hint="return module.cpu() and examples on it."
            )
    return module.requires_grad_(False)


def run_module(module: torch.nn.Module, inputs: Leaves) -> Leaves:
    """Run the module on its example inputs.

    Raises:
        InvalidModel: It raises, or gives something else than tensors.
    """
    arguments = pytree.tree_unflatten(list(inputs.tensors), inputs.spec)
    try:
        with torch.no_grad():
            outputs = module(*arguments)
    except Exception as error:
        raise InvalidModel(
            f"The module does not run on its example inputs: {type(error).__name__}: {error}",
            hint="make module(*example_inputs) run first.",
        ) from error
    return output_leaves(outputs)


def export_module(module: torch.nn.Module, inputs: Leaves) -> torch.export.ExportedProgram:
    """Export the module as a flat program.

    Raises:
        ConversionFailed: torch cannot export it, or it keeps state between calls.
    """
    try:
        program = export_flat(module, inputs)
    except Exception as error:
        raise ConversionFailed(
            f"torch.export cannot read the module: {type(error).__name__}: {_reason(error)}",
            hint="write the part named above without Python values taken from tensors; "
            "see https://docs.pytorch.org/docs/stable/export.html.",
        ) from error
    changed = sorted(program.graph_signature.buffers_to_mutate.values())
    if changed:
        raise ConversionFailed(
            f"The module changes its buffers when it runs: {', '.join(changed)}.",
            hint="take the state as an input and give the new state as an output.",
        )
    return program


def _reason(error: Exception) -> str:
    """Give the first paragraph of a message, and the user's own line if torch names one."""
    text = str(error).strip()
    first = text.split("\n\n")[0]
    places = [line.strip() for line in text.splitlines() if line.strip().startswith('File "')]
    return "\n".join([first, *places[-1:]])
