"""Take a program that somebody else exported as a flat module with named inputs and outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch.export._tree_utils import reorder_kwargs
from torch.export.graph_signature import ConstantArgument, OutputKind
from torch.utils import _pytree as pytree

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.flatten import Leaves, output_leaves
from mobilesdk.graph.module import checked_module, run_module
from mobilesdk.graph.program import graph_module

_aten = torch.ops.aten

# Op → position of the argument that says whether training goes on.
_TRAINING_ARGUMENTS = {
    _aten.dropout.default: 2,
    _aten.feature_dropout.default: 2,
    _aten.native_dropout.default: 2,
    _aten.batch_norm.default: 5,
    _aten._native_batch_norm_legit.default: 5,
}


def as_flat_module(
    program: torch.export.ExportedProgram,
) -> tuple[torch.nn.Module, Leaves, Leaves]:
    """Give a module of leaf tensors, its example inputs, and what it gives for them.

    Names come from the signature of the program and from the structure of its outputs. Sizes that
    are symbols in the program are those of the example.

    Raises:
        InvalidModel: It was exported in training mode or without example inputs, takes or gives
            something else than tensors, does not run, or has weights that are not float32 on the
            CPU.
    """
    _refuse_training(program)
    unlifted = graph_module(program)
    module = torch.fx.GraphModule(unlifted, unlifted.graph)  # without the hooks on structures
    torch.nn.Module.train(module, False)
    inputs = _inputs(program)
    outputs = run_module(checked_module(module), inputs)
    return module, inputs, outputs.renamed(_output_names(program))


def _inputs(program: torch.export.ExportedProgram) -> Leaves:
    if program.example_inputs is None:
        raise InvalidModel(
            "The program was saved without example inputs.",
            hint="export it with torch.export.export(module, example_inputs), and save it again.",
        )
    arguments, named = program.example_inputs
    ordered = reorder_kwargs(named, program.call_spec.in_spec)
    leaves = tuple(pytree.tree_leaves((arguments, ordered)))
    names = tuple(map(str, program.graph_signature.user_inputs))
    for name, leaf in zip(names, leaves, strict=True):
        if not isinstance(leaf, torch.Tensor):
            raise InvalidModel(
                f"The input {name!r} is a {type(leaf).__name__}, not a tensor.",
                hint="export a module that takes tensors only; fix other arguments in a wrapper.",
            )
    return Leaves(leaves, names, pytree.tree_structure(leaves))


def _output_names(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    stand_ins: list[Any] = []
    for spec in program.graph_signature.output_specs:
        if spec.kind is OutputKind.USER_OUTPUT:
            is_none = isinstance(spec.arg, ConstantArgument) and spec.arg.value is None
            stand_ins.append(None if is_none else torch.zeros(1))
    return output_leaves(pytree.tree_unflatten(stand_ins, program.call_spec.out_spec)).names


def _refuse_training(program: torch.export.ExportedProgram) -> None:
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            place = _TRAINING_ARGUMENTS.get(node.target)
            if place is not None and len(node.args) > place and node.args[place] is True:
                raise InvalidModel(
                    f"The program was exported in training mode: {node.name} is "
                    f"{node.target} with training=True.",
                    hint="call module.eval() before torch.export.export.",
                )
