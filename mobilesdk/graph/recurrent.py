"""Write recurrent layers step by step."""

from __future__ import annotations

import torch

from mobilesdk.graph.program import decompose

_aten = torch.ops.aten
_LAYERS = frozenset({_aten.lstm.input, _aten.gru.input, _aten.rnn_tanh.input, _aten.rnn_relu.input})


def unroll_recurrent_layers(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Write LSTM, GRU and RNN layers as the matrix products and sums of each step.

    Why: as one op their weights are those of no layer that a method compresses, and no quantizer
    sees what they compute; every converter takes them apart anyway, after it is too late.

    Args:
        program: Functional and static, so that the number of steps is known.

    Returns:
        The program itself if it has no such layer.
    """
    if not any(node.target in _LAYERS for node in program.graph.nodes):
        return program
    known = torch.export.default_decompositions()
    unrolled = decompose(program, {layer: known[layer] for layer in _LAYERS})
    _take_steps_backwards(unrolled.graph)
    unrolled.graph_module.recompile()
    return unrolled


def _take_steps_backwards(graph: torch.fx.Graph) -> None:
    """Take the steps of a sequence from its end where it was turned round for that.

    Why: NNAPI and XNNPACK do not turn tensors round, and no step has to be.
    """
    for flip in graph.find_nodes(op="call_function", target=_aten.flip.default):
        source, axes = flip.args
        if not all(
            user.target is _aten.unbind.int and [_axis(user)] == list(axes) for user in flip.users
        ):
            continue
        for unbind in list(flip.users):
            unbind.replace_input_with(flip, source)
            last = len(unbind.meta["val"]) - 1
            for step in list(unbind.users):
                step.update_arg(1, last - step.args[1])
            unbind.meta["val"] = unbind.meta["val"][::-1]
        graph.erase_node(flip)


def _axis(unbind: torch.fx.Node) -> object:
    return unbind.args[1] if len(unbind.args) > 1 else 0
