"""Check, run and export the module that a user gave."""

from __future__ import annotations

import re

import torch
from torch.utils import _pytree as pytree

from mobilesdk.data.origin import place_of
from mobilesdk.errors import ConversionFailed, InvalidModel
from mobilesdk.graph.baked import fixed_size
from mobilesdk.graph.flatten import Leaves, check_tensor, export_flat, output_leaves
from mobilesdk.graph.lifting import buffers_now, kept_buffers, lift_states
from mobilesdk.graph.symbols import DynamicShapes


def checked_module(module: torch.nn.Module) -> torch.nn.Module:
    """Give the module without gradients.

    Raises:
        InvalidModel: It is in training mode, or has weights that are not float32 or not finite,
            that are sparse or quantized, or that lie outside of the main memory.
    """
    training = [name for name, each in module.named_modules() if each.training]
    if training:
        where = "The module" if "" in training else f"Its part {training[0]!r}"
        raise InvalidModel(
            f"{where} is in training mode: dropout and batch norms would be compressed as if "
            "training went on.",
            hint="call module.eval() before returning it.",
        )
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        check_tensor(name, tensor)
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.float32:
            raise InvalidModel(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}.",
                hint="return the model in float32 (module.float(), complex numbers as two tensors);"
                " compression starts from there.",
            )
        _check_finite(name, tensor, may_be_infinite=not isinstance(tensor, torch.nn.Parameter))
    return module.requires_grad_(False)


def _check_finite(name: str, tensor: torch.Tensor, *, may_be_infinite: bool) -> None:
    """Refuse weights that are not finite; buffers may hold infinity, as masks do."""
    if not tensor.is_floating_point():
        return
    bad = tensor.isnan() if may_be_infinite else ~tensor.isfinite()
    count = int(bad.sum())
    if count:
        first = tensor[tuple(bad.nonzero()[0])].item()
        place = ", ".join(str(int(index)) for index in bad.nonzero()[0])
        raise InvalidModel(
            f"{name} holds {count} of {tensor.numel()} value(s) that are NaN or infinite, the first"
            f" ({first}) at [{place}].",
            hint="load weights from before the training diverged; no scheme can store these.",
        )


def size_bytes(module: torch.nn.Module) -> int:
    """Give the size of all parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def run_module(module: torch.nn.Module, inputs: Leaves, what: str = "its example inputs") -> Leaves:
    """Run the module on inputs, and leave its buffers as they were.

    Args:
        module: Of the user.
        inputs: What it is given.
        what: Their name in messages.

    Raises:
        InvalidModel: It raises, or gives something else than tensors.
    """
    with torch.no_grad(), kept_buffers(module):
        return step_module(module, inputs, what)


def step_module(
    module: torch.nn.Module, inputs: Leaves, what: str = "its example inputs"
) -> Leaves:
    """Run the module; buffers that it changes stay changed.

    Raises:
        InvalidModel: It raises, or gives something else than tensors.
    """
    arguments = pytree.tree_unflatten(list(inputs.tensors), inputs.spec)
    try:
        with torch.no_grad():
            outputs = module(*arguments)
    except Exception as error:
        raise InvalidModel(
            f"The module does not run on {what}: {type(error).__name__}: {error}",
            hint="make the module run on them first.",
            place=place_of(error),
        ) from error
    return output_leaves(outputs)


def export_module(
    module: torch.nn.Module, inputs: Leaves, dynamic_shapes: DynamicShapes = ()
) -> tuple[torch.export.ExportedProgram, dict[str, torch.Tensor]]:
    """Export the module as a flat, functional program.

    Args:
        module: Of the user.
        inputs: An example; of two elements or more along every axis whose size is not fixed.
        dynamic_shapes: Axes whose size is not fixed; static without.

    Returns:
        The program, and the states that it takes and gives besides; see `lift_states`.

    Raises:
        ConversionFailed: torch cannot export it.
        InvalidModel: A state does not start at zeros.
    """
    first_values = buffers_now(module)

    def export() -> torch.export.ExportedProgram:
        with torch.no_grad(), kept_buffers(module):
            return export_flat(module, inputs, dynamic_shapes)

    try:
        program = export()
    except Exception as error:
        if explained := fixed_size(error, export):
            raise explained from error
        raise ConversionFailed(
            f"torch.export cannot read the module: {type(error).__name__}: {_reason(error)}",
            hint=_cure(error),
            place=place_of(error),
        ) from error
    return lift_states(program, first_values)


def _reason(error: Exception) -> str:
    """Give the first paragraph of a message."""
    return str(error).strip().split("\n\n")[0]


def _cure(error: Exception) -> str:
    if re.search(r"data-dependent|DataDependent|GuardOn|item\(\)|_local_scalar_dense", _all(error)):
        return (
            "the line takes a decision or a size from the values of a tensor, which a file for "
            "phones cannot: choose between values with torch.where, keep shapes fixed, or leave "
            "that part to the app."
        )
    return (
        "write the line without Python values taken from tensors; "
        "see https://docs.pytorch.org/docs/stable/export.html."
    )


def _all(error: Exception) -> str:
    return f"{type(error).__name__} {error}"
