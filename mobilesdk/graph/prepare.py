"""Bring an exported program into the one form that compressors and exporters work on.

Every rewrite answers a fault of a converter or quantizer, named in its docstring. Nearest resizing
by a fractional ratio, which one converter gets wrong, is left as it is: the exporter concerned has
to care for it, and the comparison with the original program shows whether it did.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mobilesdk.graph.axis_order import move_permutes
from mobilesdk.graph.fold_channels import fold_biases, fold_written_norms
from mobilesdk.graph.fold_constants import fold_constants
from mobilesdk.graph.fold_norms import fold_batch_norms, write_out_batch_norms
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.recurrent import unroll_recurrent_layers
from mobilesdk.graph.rewrites import (
    free_shapes,
    give_pools_a_stride,
    name_relu6,
    remove_assertions,
    remove_expansions,
    remove_no_ops,
    use_plain_names,
)
from mobilesdk.graph.symbols import program_shapes
from mobilesdk.graph.weight_order import store_weights_as_taken
from mobilesdk.graph.write_einsum import write_einsums
from mobilesdk.graph.write_linear import write_linear

REWRITES: tuple[Callable[[torch.fx.GraphModule], None], ...] = (
    use_plain_names,
    remove_assertions,
    remove_no_ops,
    remove_expansions,
    fold_constants,
    write_linear,
    write_einsums,
    store_weights_as_taken,
    name_relu6,
    move_permutes,
    fold_biases,
    fold_written_norms,
    fold_batch_norms,
    write_out_batch_norms,
    give_pools_a_stride,
    free_shapes,
)


def prepare(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Unroll recurrent layers, fold constants and batch norms, remove what does nothing, unify.

    Args:
        program: Functional; stays as it is.

    Returns:
        A program that computes the same. Weights keep their fully qualified names
        (``blocks.0.conv.weight``); unused ones are gone.
    """
    module = graph_module(unroll_recurrent_layers(program))
    for rewrite in REWRITES:
        rewrite(module)
    module.graph.eliminate_dead_code()
    used = torch.fx.GraphModule(module, module.graph)
    inputs, _ = program.example_inputs
    return with_plain_views(export_program(used, inputs, program_shapes(program)))


def with_plain_views(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Write ``view`` for ``_unsafe_view``: the same op, under the name that converters know."""
    unsafe = torch.ops.aten._unsafe_view.default
    for node in program.graph.find_nodes(op="call_function", target=unsafe):
        node.target = torch.ops.aten.view.default
    program.graph_module.recompile()
    return program
